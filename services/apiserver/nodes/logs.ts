import { serverStreamIterable } from "../../../ha/rpc/mod.ts";
import type { LogChunk, LogsRequest } from "../../../proto/gen/core.ts";
import type { Resource } from "../../kinds/mod.ts";
import type { Call } from "../verbs/call.ts";
import { containerOf, type FoundPod, kubeletOf, podFor } from "./kubelet-client.ts";
import { checkLogOptions } from "./log-options.ts";
import type { NodeServing } from "./types.ts";

/** A container's output, passed on from the kubelet of the pod's node. */
export async function* logs(
  serving: NodeServing,
  call: Call,
  pods: Resource,
  request: LogsRequest,
): AsyncGenerator<LogChunk, void> {
  const { pod, container } = await logSource(serving, call, pods, request);
  yield* logsOf(serving, call, pod, { ...request, container });
}

/** Where the log is. Throws Forbidden, NotFound, Invalid, BadRequest. */
export async function logSource(
  serving: NodeServing,
  call: Call,
  pods: Resource,
  request: LogsRequest,
): Promise<{ readonly pod: FoundPod; readonly container: string }> {
  const pod = await podFor(serving, call, pods, request, { verb: "get", subresource: "log" });
  checkLogOptions(pod.name, request);
  return { pod, container: containerOf(pod, request.container) };
}

export async function* logsOf(
  serving: NodeServing,
  call: Call,
  pod: FoundPod,
  request: LogsRequest,
): AsyncGenerator<LogChunk, void> {
  const { name, namespace } = pod;
  const client = kubeletOf(serving, pod);
  const signals = call.signal === undefined ? [] : [call.signal];
  const signal = AbortSignal.any([serving.stopping, ...signals]);
  try {
    const onHeaders = () => call.streamBegun();
    const upstream = { ...request, name, namespace };
    yield* serverStreamIterable(client, "logs", upstream, { signal, onHeaders });
  } finally {
    client.close();
  }
}
