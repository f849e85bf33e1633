/** HTTP/2 without TLS to endpoints whose port says so (appProtocol `kubernetes.io/h2c`), as gRPC needs. */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import { ClientConnection, type StreamHandler } from "../../ha/http2/client/mod.ts";
import {
  type Connection,
  encodeHeaders,
  type HeaderBlock,
  type Stream,
} from "../../ha/http2/mod.ts";
import { EngineStream, fieldsOf } from "./engine-stream.ts";
import { headersOf } from "./http2-front.ts";
import { ingressLimits as limits } from "./limits.ts";
import type { Endpoint } from "./relay.ts";

const nothing = Buffer.alloc(0);

/** What is told of the answer to a call; its body is then read from the call. */
interface AnswerHandler {
  head(status: number, headers: IncomingHttpHeaders): void;
  trailers(headers: IncomingHttpHeaders): void;
}

/** A request to an endpoint, which is written, and its response, which is read. */
export class H2cCall extends EngineStream {
  readonly answer: AnswerHandler;

  constructor(connection: Connection, stream: Stream, answer: AnswerHandler) {
    super(connection, stream);
    this.answer = answer;
  }

  headed(block: HeaderBlock, isLast: boolean): void {
    this.answer.head(Number(block.get(":status")), headersOf(block));
    if (isLast) this.received(nothing, true);
  }

  /** An endpoint may answer without the rest of the request; its answer can still be read. */
  override broken(): void {
    if (this.isWhole) this.flushed();
    else super.broken();
  }

  trailed(block: HeaderBlock): void {
    this.answer.trailers(headersOf(block));
    this.received(nothing, true);
  }
}

const callOf = ({ user }: Stream) => user as H2cCall;
const streams: StreamHandler = {
  onHeaders: (stream, block, isLast) => callOf(stream).headed(block, isLast),
  onData: (stream, bytes, start, end, isLast) =>
    callOf(stream).received(bytes.subarray(start, end), isLast),
  onTrailers: (stream, block) => callOf(stream).trailed(block),
  onReset: (stream) => callOf(stream).broken(),
  onWritable: (stream) => callOf(stream).flushed(),
};

interface Session {
  readonly to: ClientConnection;
  readonly idle: NodeJS.Timeout;
}

/** One connection to each endpoint, over which its requests go side by side. */
export class H2cSessions {
  readonly #sessions = new Map<string, Session>();

  /** Undefined: the endpoint takes no connection, or no more requests. */
  async call(
    endpoint: Endpoint,
    fields: OutgoingHttpHeaders,
    answer: AnswerHandler,
  ): Promise<H2cCall | undefined> {
    const { to, idle } = this.#sessionOf(endpoint);
    idle.refresh();
    const connection = await to.whenReady(performance.now() + limits.connectMillis);
    const stream = connection?.request(encodeHeaders(fieldsOf(fields)), false);
    return connection && stream && new H2cCall(connection, stream, answer);
  }

  close(): void {
    for (const { to, idle } of this.#sessions.values()) {
      clearTimeout(idle);
      to.close();
    }
    this.#sessions.clear();
  }

  #sessionOf({ ip: host, port }: Endpoint): Session {
    const key = `${host} ${port}`;
    const known = this.#sessions.get(key);
    if (known !== undefined) return known;
    const to = new ClientConnection({
      address: { host, port },
      limits: {
        headerListBytes: limits.headBytesMax,
        headerFields: limits.headFieldsMax,
        stalledMillis: limits.backendSilenceMillis,
      },
      streams,
      dialMillisMax: limits.connectMillis,
      ...{ restMillisMin: limits.restMillisMin, restMillisMax: limits.restMillisMax },
    });
    const idle = setTimeout(() => {
      const open = [...to.connections].reduce((sum, { openStreams }) => sum + openStreams, 0);
      if (open > 0) return idle.refresh();
      to.close();
      return this.#sessions.delete(key);
    }, limits.idleMillis);
    idle.unref();
    const session = { to, idle };
    this.#sessions.set(key, session);
    return session;
  }
}
