/**
 * Exec and attach over SPDY/3.1, as clients speak it that know no WebSocket yet: one stream each for
 * errors, input, outputs and sizes, told apart by the header `streamtype`. The session begins when
 * all are there.
 */
import { SpdyConnection, SpdyError } from "../../../../../ha/rpc/spdy/mod.ts";
import { Code, StatusError } from "../../../../../ha/runtime/status-error.ts";
import type { Clock } from "../../../../../ha/runtime/types.ts";
import type { ExecOptions, ExecRequest } from "../../../../../proto/gen/core.ts";
import type { Status } from "../../../../../proto/gen/meta.ts";
import { badRequest } from "../../../errors.ts";
import { limits } from "../../../limits.ts";
import type { Session } from "../../../nodes/exec.ts";
import { InputQueue } from "../../../nodes/input-queue.ts";
import { ChannelError } from "./channels.ts";
import { sizeOf } from "./session.ts";
import { CloseCode, type StreamSocket } from "./socket.ts";
import { brokenStatus, endedStatus } from "./status.ts";

type StreamType = "error" | "stdin" | "stdout" | "stderr" | "resize";

/** Of X-Stream-Protocol-Version, best first. */
export const spdySessionProtocols: readonly string[] = [
  "v4.channel.k8s.io",
  "v3.channel.k8s.io",
  "v2.channel.k8s.io",
  "channel.k8s.io",
];

/** Carries the session until its program ends or the client leaves. */
export async function serveSpdySession(
  session: Session,
  options: ExecOptions,
  protocol: string,
  socket: StreamSocket,
  clock: Clock,
  begun: () => boolean,
): Promise<void> {
  await new SpdySession(options, protocol, socket).run(session, clock, begun);
}

class SpdySession {
  readonly #protocol: string;
  readonly #socket: StreamSocket;
  readonly #spdy: SpdyConnection;
  readonly #wanted: ReadonlySet<StreamType>;
  readonly #streams = new Map<StreamType, number>();
  readonly #input = new InputQueue<ExecRequest>();
  readonly #complete = Promise.withResolvers<void>();
  #refusal: StatusError | undefined;
  #sent: Promise<void> = Promise.resolve();

  constructor(options: ExecOptions, protocol: string, socket: StreamSocket) {
    this.#protocol = protocol;
    this.#socket = socket;
    const sizes = protocol === "v4.channel.k8s.io" || protocol === "v3.channel.k8s.io";
    const wanted: readonly [StreamType, boolean | undefined][] = [
      ["error", true],
      ["stdin", options.stdin],
      ["stdout", options.stdout],
      ["stderr", options.stderr],
      ["resize", options.tty && sizes],
    ];
    this.#wanted = new Set(wanted.flatMap(([type, is]) => (is ? [type] : [])));
    this.#spdy = new SpdyConnection(
      {
        opened: (stream, headers) => this.#opened(stream, headers.get("streamtype") ?? ""),
        data: (stream, data) => this.#data(stream, data),
        ended: (stream) => this.#ended(stream),
        reset: (stream) => this.#ended(stream),
        leaving: () => undefined,
      },
      (bytes) => {
        this.#sent = socket.send(bytes);
      },
    );
  }

  async run(session: Session, clock: Clock, begun: () => boolean): Promise<void> {
    const stopTimer = clock.after(limits.streamPairMillis, () => {
      const text = "timed out waiting for client to create streams";
      this.#complete.reject(new StatusError(Code.deadlineExceeded, text));
    });
    const received = this.#receive();
    let status: Status | undefined;
    try {
      await Promise.race([this.#complete.promise, this.#whenGone()]);
      stopTimer();
      status = await this.#carry(session);
    } catch (thrown) {
      status = brokenStatus(this.#refusal ?? thrown, begun());
    } finally {
      stopTimer();
    }
    this.#tell(status);
    this.#socket.close(CloseCode.normal);
    this.#input.drop();
    await received;
  }

  async #carry(session: Session): Promise<Status> {
    let exitCode: number | undefined;
    for await (const response of session.run(this.#input)) {
      for (const type of ["stdout", "stderr"] as const) {
        const stream = this.#streams.get(type);
        const data = response[type];
        if (stream !== undefined && data?.length) this.#spdy.send(stream, data);
      }
      await this.#sent;
      exitCode ??= response.exitCode;
    }
    if (this.#refusal !== undefined) throw this.#refusal;
    return endedStatus(exitCode);
  }

  /** The error stream has a Status since v4; before, the words alone, and nothing on success. */
  #tell(status: Status): void {
    const error = this.#streams.get("error");
    const document = this.#protocol === "v4.channel.k8s.io";
    const text = document ? JSON.stringify(status) : (status.message ?? "");
    if (error !== undefined && text !== "") this.#spdy.send(error, Buffer.from(text));
    for (const stream of this.#streams.values()) this.#spdy.end(stream);
    this.#spdy.leave();
  }

  async #receive(): Promise<void> {
    try {
      for await (const piece of this.#socket.messages()) {
        this.#spdy.receive(piece);
        await this.#input.ready();
        await this.#sent;
      }
    } catch (thrown) {
      if (!(thrown instanceof SpdyError)) throw thrown;
      this.#refuse(thrown.message);
    }
  }

  #opened(stream: number, type: string): boolean {
    const known = type as StreamType;
    if (!this.#wanted.has(known) || this.#streams.has(known)) return false;
    this.#streams.set(known, stream);
    if (this.#streams.size === this.#wanted.size) this.#complete.resolve();
    return true;
  }

  #data(stream: number, data: Buffer): void {
    if (stream === this.#streams.get("stdin")) this.#input.push({ stdin: data }, data.length);
    if (stream !== this.#streams.get("resize")) return;
    try {
      this.#input.push({ resize: sizeOf(data) }, data.length);
    } catch (thrown) {
      if (!(thrown instanceof ChannelError)) throw thrown;
      this.#refuse(thrown.message);
    }
  }

  #ended(stream: number): void {
    if (stream === this.#streams.get("stdin")) this.#input.push({ stdinEnded: true }, 0);
  }

  /** Ends the session: what the client sent is none of the protocol's. */
  #refuse(message: string): void {
    this.#refusal ??= badRequest(message);
    this.#complete.reject(this.#refusal);
    this.#socket.close(CloseCode.protocolError);
  }

  #whenGone(): Promise<never> {
    return new Promise((_, reject) => {
      const gone = () => reject(new StatusError(Code.cancelled, "the client has gone"));
      if (this.#socket.gone.aborted) return gone();
      this.#socket.gone.addEventListener("abort", gone, { once: true });
    });
  }
}
