/**
 * Port-forward over SPDY/3.1. Each forwarded connection is a pair of streams with the same
 * `requestid`: one for data and one on which an error is told; their headers name the port.
 */

import {
  type Headers,
  ResetStatus,
  SpdyConnection,
  SpdyError,
} from "../../../../../ha/rpc/spdy/mod.ts";
import type { Clock } from "../../../../../ha/runtime/types.ts";
import type { PortForwardRequest } from "../../../../../proto/gen/core.ts";
import { limits } from "../../../limits.ts";
import { InputQueue } from "../../../nodes/input-queue.ts";
import type { Forwarding } from "../../../nodes/port-forward.ts";
import { forwardFailure } from "./ports.ts";
import { CloseCode, type StreamSocket } from "./socket.ts";

type StreamType = "data" | "error";

interface Pair {
  readonly port: number;
  readonly streams: Map<StreamType, number>;
  readonly stopTimer: () => void;
}

/** One end of a data stream. */
interface DataStream {
  readonly input: InputQueue<PortForwardRequest>;
  readonly dropped: AbortController;
}

/** Ends when the client leaves. Never rejects. */
export async function serveTunnel(
  forwarding: Forwarding,
  socket: StreamSocket,
  clock: Clock,
): Promise<void> {
  await new Tunnel(forwarding, socket, clock).run();
}

class Tunnel {
  readonly #forwarding: Forwarding;
  readonly #socket: StreamSocket;
  readonly #clock: Clock;
  readonly #spdy: SpdyConnection;
  /** By request id, until both streams are there. */
  readonly #pairs = new Map<string, Pair>();
  readonly #data = new Map<number, DataStream>();
  #sent: Promise<void> = Promise.resolve();
  #leaving = false;

  constructor(forwarding: Forwarding, socket: StreamSocket, clock: Clock) {
    this.#forwarding = forwarding;
    this.#socket = socket;
    this.#clock = clock;
    this.#spdy = new SpdyConnection(
      {
        opened: (stream, headers) => this.#opened(stream, headers),
        data: (stream, data) => this.#data.get(stream)?.input.push({ data }, data.length),
        ended: (stream) => this.#data.get(stream)?.input.end(),
        reset: (stream) => this.#drop(stream),
        leaving: () => {
          this.#leaving = true;
        },
      },
      (bytes) => {
        this.#sent = socket.send(bytes);
      },
    );
  }

  async run(): Promise<void> {
    try {
      for await (const message of this.#socket.messages()) {
        this.#spdy.receive(message);
        // A connection whose pod does not read holds its neighbours back, as upstream's does.
        for (const { input } of this.#data.values()) await input.ready();
        await this.#sent;
        if (this.#leaving && this.#spdy.streams === 0) break;
      }
      this.#socket.close(CloseCode.normal);
    } catch (thrown) {
      if (!(thrown instanceof SpdyError)) throw thrown;
      this.#socket.close(CloseCode.protocolError, thrown.message);
    } finally {
      for (const stream of [...this.#data.keys()]) this.#drop(stream);
      for (const pair of this.#pairs.values()) pair.stopTimer();
    }
  }

  #opened(stream: number, headers: Headers): boolean {
    const port = Number(headers.get("port"));
    const type = headers.get("streamtype");
    if (!Number.isInteger(port) || port < 1 || port > 65_535) return false;
    if (type !== "data" && type !== "error") return false;
    const id = headers.get("requestid") ?? pseudoRequestId(stream, type);
    const known = this.#pairs.get(id);
    const pair = known ?? this.#newPair(id, port);
    if (pair.streams.has(type)) return false;
    pair.streams.set(type, stream);
    if (type === "data") {
      this.#data.set(stream, { input: new InputQueue(), dropped: new AbortController() });
    }
    const data = pair.streams.get("data");
    const error = pair.streams.get("error");
    if (data === undefined || error === undefined) return true;
    pair.stopTimer();
    this.#pairs.delete(id);
    // After this side's reply to the second stream.
    this.#clock.soon(() => void this.#forward(pair.port, data, error));
    return true;
  }

  #newPair(id: string, port: number): Pair {
    const streams = new Map<StreamType, number>();
    const stopTimer = this.#clock.after(limits.streamPairMillis, () => {
      this.#pairs.delete(id);
      for (const stream of streams.values()) {
        this.#spdy.reset(stream, ResetStatus.cancel);
        this.#drop(stream);
      }
    });
    const pair = { port, streams, stopTimer };
    this.#pairs.set(id, pair);
    return pair;
  }

  async #forward(port: number, data: number, error: number): Promise<void> {
    const stream = this.#data.get(data);
    if (stream === undefined) return this.#spdy.end(error);
    const { input, dropped } = stream;
    const { signal } = dropped;
    try {
      for await (const response of this.#forwarding.connect(port, input, { signal })) {
        if (response.data?.length) this.#spdy.send(data, response.data);
        if (response.ended) this.#spdy.end(data);
        await this.#sent;
      }
    } catch (thrown) {
      if (!signal.aborted) {
        const text = forwardFailure(this.#forwarding, port, thrown);
        this.#spdy.send(error, Buffer.from(text));
      }
    } finally {
      this.#spdy.end(error);
      this.#spdy.end(data);
      this.#drop(data);
    }
  }

  #drop(stream: number): void {
    const known = this.#data.get(stream);
    if (known === undefined) return;
    this.#data.delete(stream);
    known.dropped.abort();
    known.input.drop();
  }
}

/** Of old clients, which open the two streams of a connection one after the other. */
function pseudoRequestId(stream: number, type: StreamType): string {
  return `stream ${type === "error" ? stream : stream - 2}`;
}
