/** Streams of messages between a caller and a kubelet. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Clock } from "../../../ha/runtime/types.ts";
import { badRequest } from "../errors.ts";
import { limits } from "../limits.ts";
import type { NodeServing } from "./types.ts";

/** The first message of a caller, which says what is wanted, and the ones after it. */
export interface Opened<Options, Message> {
  readonly options: Options;
  readonly first: Message;
  readonly rest: AsyncIterator<Message>;
}

/** Reads the first message. Throws BadRequest. */
export async function openedBy<
  Options extends object,
  Message extends { options?: Options | undefined },
>(requests: AsyncIterable<Message>): Promise<Opened<Options, Message>> {
  const rest = requests[Symbol.asyncIterator]();
  const step = await rest.next();
  const first = step.done ? undefined : step.value;
  if (first?.options === undefined) throw badRequest("options: missing in the first message");
  return { options: first.options, first, rest };
}

/** Ends a relay: by the signals of its call, with this server, or when nothing moves for long. */
export class RelayEnd {
  readonly signal: AbortSignal;
  readonly #idle = new AbortController();
  readonly #clock: Clock;
  readonly #stopTimer: () => void;
  readonly #idleMillis: number;
  #movedMillis: number;

  constructor(
    serving: NodeServing,
    signals: readonly (AbortSignal | undefined)[],
    idleMillis: number = limits.streamIdleMillis,
  ) {
    this.#clock = serving.backend.clock;
    this.#idleMillis = idleMillis;
    this.#movedMillis = this.#clock.monotonicMillis();
    this.#stopTimer = this.#clock.every(Math.max(1, idleMillis / 8), () => this.#look());
    const given = signals.filter((each) => each !== undefined);
    this.signal = AbortSignal.any([serving.stopping, this.#idle.signal, ...given]);
  }

  moved(): void {
    this.#movedMillis = this.#clock.monotonicMillis();
  }

  /** The error of a relay that ended; that it was idle is told as such. */
  reason(thrown: unknown): unknown {
    if (!this.#idle.signal.aborted) return thrown;
    const seconds = this.#idleMillis / 1000;
    return new StatusError(
      Code.deadlineExceeded,
      `the stream was closed because nothing was sent for ${seconds} s`,
    );
  }

  close(): void {
    this.#stopTimer();
  }

  #look(): void {
    const idle = this.#clock.monotonicMillis() - this.#movedMillis;
    if (idle >= this.#idleMillis) this.#idle.abort();
  }
}

/** Yields the messages after the first, cut where they are long. */
export async function* restOf<Message extends { options?: object | undefined }>(
  rest: AsyncIterator<Message>,
  end: RelayEnd,
  cut: (message: Message) => Iterable<Message>,
): AsyncGenerator<Message, void> {
  for (;;) {
    const step = await rest.next();
    if (step.done) return;
    end.moved();
    if (step.value.options !== undefined) {
      throw badRequest("options: only the first message has them");
    }
    yield* cut(step.value);
  }
}

/** Bytes in pieces that a kubelet takes; at least one. */
export function* piecesOf(bytes: Buffer): Generator<Buffer, void> {
  const { streamPieceBytes } = limits;
  for (let at = 0; at === 0 || at < bytes.length; at += streamPieceBytes) {
    yield bytes.subarray(at, at + streamPieceBytes);
  }
}
