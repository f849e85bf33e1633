/** The end of leases whose time is up, as the leader proposes it. */
import type { Raft } from "../raft/mod.ts";
import type { MemberId, Runtime } from "../runtime/types.ts";
import { encodeProposal, type LeaseId } from "../store/mod.ts";

export interface Expiry {
  readonly proposer: MemberId;
  readonly incarnation: number;
  readonly ids: readonly LeaseId[];
}

/**
 * Proposes the end of leases in the log of this member's own term or nowhere: sent on to the next
 * leader, or proposed again there, it would end a lease that was kept alive since. What is not
 * carried out is named again by the clock.
 */
export function proposeExpiry(raft: Raft, { clock, log }: Runtime, expiry: Expiry): void {
  const proposal = encodeProposal({
    proposer: expiry.proposer,
    incarnation: expiry.incarnation,
    wallMillis: Math.max(0, Math.floor(clock.wallMillis())),
    // The outcome answers no caller: 0 is no command's number.
    commands: expiry.ids.map((id) => ({
      sequence: 0,
      requestId: undefined,
      command: { kind: "leaseRevoke", id },
    })),
  });
  const refusal = raft.propose([proposal]);
  if (refusal) log.debug("expired leases are not revoked yet", { refusal });
}
