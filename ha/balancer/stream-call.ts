/**
 * A call that is passed on as it comes, both ways, no faster than either side reads. It is begun
 * once: only a master that has certainly not begun it gives it back, while what was sent is still
 * at hand.
 */
import { BalancedCall, nothingYet, type RequestSoFar } from "./balanced-call.ts";
import type { Failure, Headers, IncomingCall, OutgoingCall, OutgoingHandlers } from "./calls.ts";
import type { Desk } from "./desk.ts";
import type { Master } from "./fleet.ts";
import type { Method } from "./methods.ts";
import { failureTrailers } from "./replies.ts";

/** Bytes of a request that are remembered until the master has reacted to it. */
const replayBytes = 64 * 1024;

export class StreamCall extends BalancedCall {
  #outgoing: OutgoingCall | undefined;
  /** What the master has been sent or will be; undefined once it cannot be sent again. */
  #replay: Buffer[] | undefined = [];
  #replayed = 0;
  #ended = false;
  #begun = false;

  constructor(call: IncomingCall, method: Method, desk: Desk, request: RequestSoFar = nothingYet) {
    super(call, method, desk, "streams");
    this.#replay = [...request.chunks];
    for (const chunk of request.chunks) this.#replayed += chunk.length;
    this.#ended = request.ended;
    if (!this.readDeadline()) return;
    call.handle(this);
    call.pause();
    this.place();
  }

  data(chunk: Buffer): void {
    if (this.#replay !== undefined) {
      this.#replay.push(chunk);
      this.#replayed += chunk.length;
      // Between two masters nothing is sent; what the pause lets through is kept in any case.
      if (this.#replayed > replayBytes && this.#outgoing !== undefined) this.#replay = undefined;
    }
    if (this.#outgoing !== undefined && !this.#outgoing.write(chunk)) this.call.pause();
  }

  end(): void {
    this.#ended = true;
    this.#outgoing?.end();
  }

  drain(): void {
    this.#outgoing?.resume();
  }

  protected dispatch(master: Master): void {
    const { path, authority } = this.call;
    const headers: Headers = this.requestHeaders();
    const outgoing = master.upstream.open({ path, authority, headers }, this.#handlers(master));
    this.#outgoing = outgoing;
    let room = true;
    for (const chunk of this.#replay ?? []) room = outgoing.write(chunk);
    if (this.#replayed > replayBytes) this.#replay = undefined;
    if (this.#ended) outgoing.end();
    else if (room) this.call.resume();
  }

  protected release(): void {
    this.#outgoing?.cancel();
    this.#outgoing = undefined;
    this.#replay = undefined;
  }

  #handlers(master: Master): OutgoingHandlers {
    return {
      headers: (headers) => {
        this.#begin();
        this.call.sendHeaders(headers);
      },
      data: (chunk) => {
        if (!this.call.write(chunk)) this.#outgoing?.pause();
      },
      trailers: (trailers) => {
        this.#outgoing = undefined;
        this.finish(trailers);
      },
      drain: () => this.call.resume(),
      failed: (failure) => this.#failed(failure, master),
    };
  }

  #begin(): void {
    this.#begun = true;
    this.#replay = undefined;
  }

  #failed(failure: Failure, master: Master): void {
    this.#outgoing = undefined;
    master.failures++;
    const again =
      failure.kind === "refused" &&
      !this.#begun &&
      this.#replay !== undefined &&
      this.attempts < this.desk.limits.attempts;
    if (!again) {
      this.finish(failureTrailers(failure, master.name));
      return;
    }
    this.leaveMaster();
    this.call.pause();
    this.place();
  }
}
