/** The last message of a leader whose disk failed. */
import { MessageType, type Raft } from "../raft/mod.ts";
import type { MemberId, PeerNetwork } from "../runtime/types.ts";
import { Outbox } from "./outbox.ts";

/**
 * Tells a linked voter that has the leader's whole log to campaign at once. Only this message is
 * sent: any other might rest on what the disk has not kept.
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
  raft.transferLeadership(successor.id);
  const outbox = new Outbox(network, cluster);
  for (const message of raft.ready().messages) {
    if (message.type === MessageType.timeoutNow) outbox.message(message);
  }
  outbox.flush();
}
