/** trireme.kubelet.v1.Kubelet: what the apiserver asks of a node. */
import { bidiStream, type CallContext, serverStream, unary } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type {
  ExecRequest,
  ExecResponse,
  LogChunk,
  LogsRequest,
  PortForwardRequest,
  PortForwardResponse,
} from "../../proto/gen/core.ts";
import type { NodeStats, StatsRequest } from "../../proto/gen/kubelet.ts";
import { runSession } from "./exec.ts";
import { kubeletLimits } from "./limits.ts";
import { openLogs } from "./logs.ts";
import { forwardPort } from "./port-forward.ts";
import type { PodSource } from "./requests.ts";

/** Only masters, and people with all rights, may ask a kubelet anything. */
export function authorizePeer(certificate: CallContext["peer"]["certificate"]): void {
  if (certificate === undefined) {
    throw new StatusError(Code.unauthenticated, "the kubelet needs a client certificate");
  }
  const allowed =
    certificate.commonName === "system:kube-apiserver" ||
    certificate.organizations.includes("system:masters");
  if (!allowed) {
    throw new StatusError(
      Code.permissionDenied,
      `user "${certificate.commonName}" may not use the kubelet's API`,
    );
  }
}

type StreamLimits = Pick<typeof kubeletLimits, "logFollowersMax" | "sessionsMax" | "forwardsMax">;

/** Handlers of the Kubelet service. `secured`: callers are known by their certificates. */
export function kubeletHandlers(
  source: PodSource,
  secured: boolean,
  limits: { readonly [Name in keyof StreamLimits]: number } = kubeletLimits,
) {
  const followers = new Places("log streams", limits.logFollowersMax);
  const sessions = new Places("exec and attach sessions", limits.sessionsMax);
  const forwards = new Places("forwarded connections", limits.forwardsMax);
  const enter = (context: CallContext) => {
    if (secured) authorizePeer(context.peer.certificate);
  };
  return {
    logs: serverStream<LogsRequest, LogChunk>((request, context) => {
      enter(context);
      return followers.during(logChunks(source, request, context));
    }),
    exec: bidiStream<ExecRequest, ExecResponse>((requests, context) => {
      enter(context);
      return sessions.during(runSession(source, "exec", requests, context));
    }),
    attach: bidiStream<ExecRequest, ExecResponse>((requests, context) => {
      enter(context);
      return sessions.during(runSession(source, "attach", requests, context));
    }),
    portForward: bidiStream<PortForwardRequest, PortForwardResponse>((requests, context) => {
      enter(context);
      return forwards.during(forwardPort(source, requests, context));
    }),
    stats: unary<StatsRequest, NodeStats>((_request, context) => {
      enter(context);
      return source.stats() ?? {};
    }),
  };
}

/** How many streams of one sort may be open at a time. */
class Places {
  readonly #what: string;
  readonly #max: number;
  #taken = 0;

  constructor(what: string, max: number) {
    this.#what = what;
    this.#max = max;
  }

  /** Holds a place while the stream is read. */
  async *during<T>(stream: AsyncIterable<T>): AsyncGenerator<T> {
    if (this.#taken >= this.#max) {
      throw new StatusError(
        Code.resourceExhausted,
        `more than ${this.#max} ${this.#what} on this node`,
      );
    }
    this.#taken += 1;
    try {
      yield* stream;
    } finally {
      this.#taken -= 1;
    }
  }
}

async function* logChunks(
  source: PodSource,
  request: LogsRequest,
  context: CallContext,
): AsyncGenerator<LogChunk> {
  const pieces = openLogs(source, request, context.signal);
  context.sendHeaders();
  for await (const piece of pieces) {
    yield { data: Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength) };
  }
}
