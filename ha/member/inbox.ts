/** Decodes the frames of the peers, and gives each part of a frame to its part of the member. */
import type { Answer, Call } from "../../proto/gen/raft.ts";
import { MessageType } from "../raft/mod.ts";
import type { MemberId } from "../runtime/types.ts";
import { CallKind } from "./calls.ts";
import { decodeFrame } from "./frames.ts";
import type { MemberParts } from "./parts.ts";

export class Inbox {
  readonly #parts: MemberParts;

  constructor(parts: MemberParts) {
    this.#parts = parts;
  }

  /** A frame from a pinned peer. */
  frame(from: MemberId, bytes: Uint8Array): void {
    const { runtime, outbox, admission, wake } = this.#parts;
    const { log } = runtime;
    let frame: ReturnType<typeof decodeFrame>;
    try {
      frame = decodeFrame(bytes);
    } catch (error) {
      log.warn("a frame cannot be read", { from, error });
      return;
    }
    if (frame.hello) {
      const standing = this.#parts.failure() ? undefined : admission.answer(from, frame.hello);
      if (standing) outbox.to(from).standing = standing;
      wake();
      return;
    }
    if (frame.cluster !== outbox.cluster) {
      // 0: a peer that takes part in no cluster yet.
      if (frame.cluster !== 0) log.warn("a frame of another cluster was dropped", { from });
      return;
    }
    admission.forget(from);
    this.#deliver(from, frame);
    wake();
  }

  #deliver(from: MemberId, frame: ReturnType<typeof decodeFrame>): void {
    const { raft, outbox, proposer, snapshots, calls, corruption, members } = this.#parts;
    for (const message of frame.messages) {
      // The link is authenticated: a peer speaks for itself alone.
      if (message.from !== from || message.type === MessageType.snapshot) continue;
      if (message.type === MessageType.propose) proposer.forward(message);
      else raft.step(message);
    }
    for (const chunk of frame.chunks) snapshots.chunk(from, chunk);
    for (const call of frame.calls) {
      this.#answerTo(call, (answer) => outbox.to(from).answers.push(answer));
    }
    for (const answer of frame.answers) {
      if (answer.hash === undefined) calls.answered(answer);
      else corruption.answered(from, answer);
    }
    if (frame.news) members.heard(frame.news);
  }

  /** Sends the leader, which may be this member, the calls that it has not been asked. */
  askLeader(leader: MemberId | undefined): void {
    if (leader === undefined) return;
    const { id, calls, outbox } = this.#parts;
    for (const call of calls.unasked(leader)) {
      if (leader === id) this.#answerTo(call, (answer) => calls.answered(answer));
      else outbox.to(leader).calls.push(call);
    }
  }

  #answerTo(call: Call, tell: (answer: Answer) => void): void {
    const { corruption, members, leases, wake } = this.#parts;
    if (call.kind === CallKind.hash) {
      corruption.answer(call, (answer) => {
        tell(answer);
        wake();
      });
    } else if (call.kind === CallKind.membership) members.change(call, tell);
    else leases.answer(call, tell);
  }
}
