/** trireme.kubelet.v1.Kubelet: what the apiserver asks of a node. */

import { type CallContext, serverStream } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { LogChunk, LogsRequest, Pod } from "../../proto/gen/core.ts";
import { kubeletLimits } from "./limits.ts";
import { runsOf } from "./pod/status.ts";
import type { ContainerRuntime } from "./runtime/types.ts";

export interface LogSource {
  readonly runtime: ContainerRuntime;
  readonly pod: (namespace: string, name: string) => Pod | undefined;
}

/** Only masters, and people with all rights, may ask a kubelet anything. */
export function authorizePeer(context: Pick<CallContext, "peer">): void {
  const { certificate } = context.peer;
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

/** Handlers of the Kubelet service. `secured`: callers are known by their certificates. */
export function kubeletHandlers(source: LogSource, secured: boolean) {
  let followers = 0;
  return {
    logs: serverStream<LogsRequest, LogChunk>((request, context) => {
      if (secured) authorizePeer(context);
      return stream(request, context);
    }),
  };

  async function* stream(request: LogsRequest, context: CallContext): AsyncGenerator<LogChunk> {
    if (followers >= kubeletLimits.logFollowersMax) {
      throw new StatusError(
        Code.resourceExhausted,
        `more than ${kubeletLimits.logFollowersMax} log streams on this node`,
      );
    }
    followers += 1;
    try {
      const pieces = openLogs(source, request, context.signal);
      context.sendHeaders();
      for await (const piece of pieces) {
        yield { data: Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength) };
      }
    } finally {
      followers -= 1;
    }
  }
}

/** Throws StatusError: notFound, invalidArgument, unimplemented. */
export function openLogs(
  source: LogSource,
  request: LogsRequest,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  const { name = "", namespace = "", tailLines, limitBytes } = request;
  if (request.timestamps || (request.sinceSeconds ?? 0) > 0) {
    throw new StatusError(
      Code.unimplemented,
      "timestamps and sinceSeconds: the process runtime keeps output as written, without times; " +
        "use tailLines or limitBytes",
    );
  }
  for (const [field, value] of Object.entries({ tailLines, limitBytes })) {
    if (value !== undefined && value < 0) {
      throw new StatusError(Code.invalidArgument, `${field}: ${value} must not be negative`);
    }
  }
  const pod = source.pod(namespace, name);
  if (pod === undefined) {
    throw new StatusError(Code.notFound, `pod ${namespace}/${name} is not on this node`);
  }
  const container = chooseContainer(pod, request.container);
  const runs = source.runtime.containers(pod.metadata?.uid ?? "");
  const { latest, previous } = runsOf(runs, container);
  const run = request.previous ? previous : latest;
  if (run === undefined) {
    const which = request.previous ? "previous terminated container" : "container";
    const state = request.previous ? "not found" : "is waiting to start";
    throw new StatusError(
      Code.invalidArgument,
      `${which} "${container}" in pod "${name}" ${state}`,
    );
  }
  if (run.reason === "StartError") {
    throw new StatusError(Code.notFound, `container "${container}" never ran: ${run.message}`);
  }
  return source.runtime.logs(run.id, {
    follow: request.follow ?? false,
    tailLines,
    limitBytes,
    signal,
  });
}

function chooseContainer(pod: Pod, asked: string | undefined): string {
  const mains = (pod.spec?.containers ?? []).map(({ name = "" }) => name);
  const all = [...mains, ...(pod.spec?.initContainers ?? []).map(({ name = "" }) => name)];
  const podName = pod.metadata?.name;
  if (asked) {
    if (all.includes(asked)) return asked;
    throw new StatusError(
      Code.invalidArgument,
      `container ${asked} is not valid for pod ${podName}; it has: ${all.join(", ")}`,
    );
  }
  const [only] = mains;
  if (only !== undefined && mains.length === 1) return only;
  throw new StatusError(
    Code.invalidArgument,
    `a container name must be specified for pod ${podName}, choose one of: [${all.join(" ")}]`,
  );
}
