/**
 * From the addresses of an initial cluster to its members: each other member is called at its
 * address and introduces itself under the cluster's token. Only at the first start: from the
 * founding on, or the joining, the identities are part of the membership.
 */
import { memberIdOf } from "../runtime/production/identity.ts";
import { type Introduced, TokenError } from "../runtime/production/introductions.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Clock, Log, MemberId, Peer } from "../runtime/types.ts";
import { isExclusion } from "./founding.ts";
import { limits } from "./limits.ts";
import type { ClusterPeer } from "./types.ts";

/** A member as the flags name it. */
export interface NamedMember {
  readonly name: string;
  /** `host:port` of its peer listener. */
  readonly address: string;
  /** libp2p peer id; absent: it is learnt by calling the address. */
  readonly identity?: string | undefined;
}

export interface MeetingHost {
  readonly clock: Clock;
  readonly log: Log;
  introduce(address: string): Promise<Introduced>;
}

export interface Met {
  readonly cluster: readonly ClusterPeer[];
  /** The id under which the cluster knows this member; undefined: that of its identity. */
  readonly member: MemberId | undefined;
}

/**
 * Resolves when all founders are known, or a member of the cluster has sent its roster. Rejects
 * with a StatusError when this member may not take part, or another member has a wrong name.
 */
export async function meet(
  host: MeetingHost,
  own: { readonly name: string; readonly identity: string },
  members: readonly NamedMember[],
  joins: boolean,
): Promise<Met> {
  const identities = new Map<string, string>([[own.name, own.identity]]);
  for (const { name, identity } of members) if (identity) identities.set(name, identity);
  const why = new Map<string, string>();
  let reportAt = host.clock.monotonicMillis() + limits.foundingReportMillis;
  for (;;) {
    for (const { name, address } of members) {
      if (name === own.name || (!joins && identities.has(name))) continue;
      const outcome = await call(host, address);
      if (typeof outcome === "string") {
        why.set(name, outcome);
        continue;
      }
      const { member, peers = [], refusal } = outcome.introduction;
      if (member !== undefined) return { cluster: peers, member };
      if (refusal !== undefined) {
        const refused = new StatusError(Code.failedPrecondition, refusal);
        if (isExclusion(refused)) throw refused;
        why.set(name, refusal);
      } else if (outcome.name !== name) {
        throw new StatusError(
          Code.invalidArgument,
          `--initial-cluster: the member at ${address} is called "${outcome.name}", not "${name}"`,
        );
      } else if (joins) why.set(name, "it has founded no cluster yet");
      else identities.set(name, outcome.identity);
    }
    const cluster = members.flatMap((member) => {
      const identity = identities.get(member.name);
      return identity === undefined ? [] : [peerOf(member, identity)];
    });
    if (!joins && cluster.length === members.length) return { cluster, member: undefined };
    const now = host.clock.monotonicMillis();
    if (now >= reportAt) {
      reportAt = now + limits.foundingReportMillis;
      const text = joins
        ? "this member waits until the cluster that has added it knows it"
        : "this member waits until all founders have introduced themselves";
      host.log.warn(text, { waitsFor: Object.fromEntries(why) });
    }
    await new Promise<void>((resolve) => {
      host.clock.after(limits.introductionPauseMillis, resolve);
    });
  }
}

/** The answer of the member, or why it gave none. */
async function call(host: MeetingHost, address: string): Promise<Introduced | string> {
  try {
    return await host.introduce(address);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (error instanceof TokenError) host.log.error("a member has another token", { address });
    return text;
  }
}

export function peerOf({ name, address }: NamedMember, identity: string): Peer {
  return { id: memberIdOf(identity), name, addresses: [address], identity };
}
