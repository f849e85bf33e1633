/** The last message of a leader whose disk failed. */
import type { Raft } from "../raft/mod.ts";
import type { MemberId, PeerNetwork } from "../runtime/types.ts";
import { Outbox } from "./outbox.ts";

/**
 * Tells a linked voter that has the leader's whole log to campaign at once. Only this message is
 * sent: any other might rest on what the disk has not kept, or does not give back.
 */
export function nameSuccessor(
  raft: Raft,
  network: PeerNetwork,
  cluster: number,
  isLinked: (peer: MemberId) => boolean,
): void {
  const { progress, lastIndex } = raft.status();
  const successor = progress.find(
    (peer) => !peer.learner && peer.match === lastIndex && isLinked(peer.id),
  );
  if (!successor) return;
  const outbox = new Outbox(network, cluster);
  outbox.message(raft.farewell(successor.id));
  outbox.flush();
}
