/** Polls the status of the members, every second and whenever a caller asks for it. */
import type { Member, StatusResponse } from "../../../proto/gen/etcd.ts";
import { call } from "../../rpc/mod.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import type { Log } from "../../runtime/types.ts";
import { type MemberStatus, type Revision, storeErrors } from "../../store/mod.ts";
import { memberIdOf, revisionIn } from "./answers.ts";
import type { Endpoint, Endpoints } from "./endpoints.ts";
import { failureOf, reasonOf, unsupportedVersion } from "./failures.ts";
import { externalLimits } from "./limits.ts";
import { pause } from "./pause.ts";

type Listener = (status: MemberStatus) => void;

export interface MonitorOwner {
  readonly endpoints: Endpoints;
  readonly log: Log;
  /** The newest compaction that this client has learnt of: etcd's status does not tell it. */
  readonly compactRevision: () => Revision;
  observed(revision: number): void;
}

export class Monitor {
  private readonly owner: MonitorOwner;
  private readonly listeners = new Set<Listener>();
  private clusterId: bigint | undefined;
  private members: readonly Member[] = [];
  /** The answers of the endpoints in the last round. */
  private readonly answers = new Map<Endpoint, StatusResponse>();
  /** Which members the endpoints are; also of those that are silent now. */
  private readonly memberIds = new Map<Endpoint, bigint | undefined>();
  private present: MemberStatus | undefined;
  private keys = 0;
  private lastError: StatusError | undefined;

  constructor(owner: MonitorOwner) {
    this.owner = owner;
  }

  /** Resolves when a member that knows a leader has answered; then goes on asking. */
  async start(): Promise<void> {
    const { endpoints } = this.owner;
    const until = performance.now() + externalLimits.openMillis;
    while (this.present?.leader === undefined) {
      await this.poll();
      if (this.present?.leader !== undefined) break;
      if (performance.now() >= until) throw this.noLeader();
      await pause(externalLimits.roundMillis, endpoints.closingSignal);
    }
    void this.run();
  }

  private noLeader(): StatusError {
    const names = this.owner.endpoints.all.map(({ address }) => address).join(", ");
    const why = this.lastError === undefined ? "no leader" : reasonOf(this.lastError);
    const seconds = externalLimits.openMillis / 1000;
    return new StatusError(
      Code.unavailable,
      `no etcd member with a leader at ${names} within ${seconds} s: ${why}`,
    );
  }

  private async run(): Promise<void> {
    const { endpoints, log } = this.owner;
    for (;;) {
      await pause(externalLimits.statusMillis, endpoints.closingSignal);
      if (endpoints.closed) return;
      try {
        await this.poll();
      } catch (thrown) {
        // An endpoint that has turned into something else is not used; the others go on.
        log.error("an etcd endpoint is not used", { reason: StatusError.from(thrown).message });
      }
    }
  }

  /** Throws when an endpoint is none of this cluster, or too old. */
  private async poll(): Promise<void> {
    const { endpoints } = this.owner;
    const asked = await Promise.allSettled(endpoints.all.map((endpoint) => this.ask(endpoint)));
    if (endpoints.closed) return;
    const { current } = endpoints;
    const answer = this.answers.get(current);
    if (answer === undefined || !hasLeader(answer)) {
      // One that does not even tell how it is would not serve calls either.
      const led = [...this.answers.values()].some(hasLeader);
      if (led) endpoints.leave(current, this.lastError ?? storeErrors.noLeader());
    }
    await this.readMembers();
    this.publish();
    for (const each of asked) if (each.status === "rejected") throw each.reason;
  }

  private async ask(endpoint: Endpoint): Promise<void> {
    let answer: StatusResponse;
    try {
      answer = await this.statusOf(endpoint);
    } catch (thrown) {
      this.answers.delete(endpoint);
      this.lastError = failureOf(thrown);
      return;
    }
    try {
      this.verify(endpoint, answer);
    } catch (thrown) {
      endpoint.verified = false;
      this.answers.delete(endpoint);
      throw thrown;
    }
    endpoint.verified = true;
    this.answers.set(endpoint, answer);
    this.memberIds.set(endpoint, answer.header?.memberId);
    this.owner.observed(revisionIn(answer.header));
  }

  private statusOf(endpoint: Endpoint): Promise<StatusResponse> {
    const deadlineMillis = externalLimits.statusTimeoutMillis;
    return call(endpoint.maintenance, "status", {}, { deadlineMillis });
  }

  private verify({ address }: Endpoint, { header, version }: StatusResponse): void {
    if (!isSupported(version ?? "")) throw unsupportedVersion(address, version ?? "(unknown)");
    this.clusterId ??= header?.clusterId ?? 0n;
    const other = header?.clusterId ?? 0n;
    if (other === this.clusterId) return;
    throw new StatusError(
      Code.failedPrecondition,
      `the etcd member at ${address} is of cluster ${other.toString(16)}, the others are of ` +
        this.clusterId.toString(16),
    );
  }

  private async readMembers(): Promise<void> {
    const endpoint = this.owner.endpoints.current;
    if (!this.answers.has(endpoint)) return;
    try {
      const deadlineMillis = externalLimits.statusTimeoutMillis;
      const request = { linearizable: false };
      const { members } = await call(endpoint.cluster, "memberList", request, { deadlineMillis });
      this.members = members ?? [];
    } catch (thrown) {
      // The members known so far are shown; the next round asks again.
      this.lastError = failureOf(thrown);
    }
  }

  private publish(): void {
    const before = this.present;
    const now = this.compose();
    if (now === undefined) return;
    this.present = now;
    if (before !== undefined && noteOf(before) === noteOf(now)) return;
    for (const listener of this.listeners) listener(now);
  }

  private compose(): MemberStatus | undefined {
    const answer = this.answers.get(this.owner.endpoints.current);
    if (answer !== undefined) return this.statusFrom(answer);
    if (this.present === undefined) return undefined;
    const members = this.present.members.map((each) => ({ ...each, connected: false }));
    return { ...this.present, role: "follower", leader: undefined, members };
  }

  private statusFrom(answer: StatusResponse): MemberStatus {
    const id = answer.header?.memberId;
    const leads = hasLeader(answer) && answer.leader === id;
    const follows = answer.isLearner === true ? "learner" : "follower";
    return {
      id: memberIdOf(id),
      name: this.members.find((each) => each.ID === id)?.name ?? "",
      clusterId: this.clusterId ?? 0n,
      role: leads ? "leader" : follows,
      leader: hasLeader(answer) ? memberIdOf(answer.leader) : undefined,
      term: Number(answer.raftTerm ?? 0n),
      revision: revisionIn(answer.header),
      compactRevision: this.owner.compactRevision(),
      commitIndex: Number(answer.raftIndex ?? 0n),
      appliedIndex: Number(answer.raftAppliedIndex ?? 0n),
      diskBytes: Number(answer.dbSize ?? 0n),
      keys: this.keys,
      members: this.members.map((each) => ({
        id: memberIdOf(each.ID),
        name: each.name ?? "",
        connected: this.isConnected(each),
        learner: each.isLearner === true,
        apiAddresses: [],
        matchIndex: undefined,
      })),
    };
  }

  /** A member that is no endpoint counts as connected while any endpoint answers. */
  private isConnected({ ID }: Member): boolean {
    const { all } = this.owner.endpoints;
    const endpoint = all.find((each) => this.memberIds.get(each) === ID);
    return endpoint === undefined ? this.answers.size > 0 : this.answers.has(endpoint);
  }

  /** `keys` has just been counted. */
  async status(keys: number): Promise<MemberStatus> {
    this.keys = keys;
    const answer = await this.owner.endpoints.call(
      { repeatable: true, serializable: true },
      (endpoint, settings) => call(endpoint.maintenance, "status", {}, settings),
    );
    this.owner.observed(revisionIn(answer.header));
    return this.statusFrom(answer);
  }

  onStatus(listener: Listener): () => void {
    this.listeners.add(listener);
    if (this.present !== undefined) listener(this.present);
    return () => this.listeners.delete(listener);
  }
}

function hasLeader({ leader }: StatusResponse): boolean {
  return leader !== undefined && leader !== 0n;
}

/** The part of the status whose changes listeners hear of. */
function noteOf({ id, leader, role, term, members }: MemberStatus): string {
  const links = members.map((each) => `${each.id}:${each.name}:${each.connected}:${each.learner}`);
  return [id, leader, role, term, ...links].join(" ");
}

/** etcd-io/etcd 15220: before these, progress may run ahead of the events. */
function isSupported(version: string): boolean {
  const [, major, minor, patch] = (/^(\d+)\.(\d+)\.(\d+)/.exec(version) ?? []).map(Number);
  if (major === undefined || minor === undefined || patch === undefined) return false;
  if (major !== 3) return major > 3;
  if (minor === 4) return patch >= 31;
  if (minor === 5) return patch >= 13;
  return minor > 5;
}
