/** Proposes the end of leases whose time is up. Only a leader does so. */
import { Role } from "../raft/mod.ts";
import { encodeProposal, type LeaseId } from "../store/mod.ts";
import type { MemberParts } from "./parts.ts";

/** Called from time to time; proposes nothing while the member does not lead. */
export function expireLeases(parts: MemberParts): void {
  const { raft, runtime, leadership, leases, limits } = parts;
  if (raft.role !== Role.leader || raft.term !== leadership.status.term) return;
  const now = runtime.clock.monotonicMillis();
  const ids = leases.expired(now, limits.leasesExpiredPerCheck);
  if (ids.length === 0) return;
  proposeExpiry(parts, ids);
  parts.wake();
}

/**
 * Proposes the end of leases in the log of this member's own term or nowhere: forwarded to the next
 * leader, or proposed again there, it would end a lease that was kept alive since. When a proposal
 * is lost, the lease clock names its leases again at a later check.
 */
function proposeExpiry(parts: MemberParts, ids: readonly LeaseId[]): void {
  const { clock, log } = parts.runtime;
  const proposal = encodeProposal({
    proposer: parts.id,
    incarnation: parts.proposals.incarnation,
    wallMillis: Math.max(0, Math.floor(clock.wallMillis())),
    // The outcome answers no caller: 0 is no command's number.
    commands: ids.map((id) => ({
      sequence: 0,
      requestId: undefined,
      command: { kind: "leaseRevoke", id },
    })),
  });
  const refusal = parts.raft.propose([proposal]);
  if (refusal) log.debug("expired leases are not revoked yet", { refusal });
}
