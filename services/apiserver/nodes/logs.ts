import { serverStreamIterable } from "../../../ha/rpc/mod.ts";
import type { LogChunk, LogsRequest } from "../../../proto/gen/core.ts";
import type { Resource } from "../../kinds/mod.ts";
import type { Call } from "../verbs/call.ts";
import { containerOf, kubeletOf, podFor } from "./kubelet-client.ts";
import type { NodeServing } from "./types.ts";

/** A container's output, passed on from the kubelet of the pod's node. */
export async function* logs(
  serving: NodeServing,
  call: Call,
  pods: Resource,
  request: LogsRequest,
): AsyncGenerator<LogChunk, void> {
  const pod = await podFor(serving, call, pods, request, { verb: "get", subresource: "log" });
  const { name, namespace } = pod;
  const container = containerOf(pod, request.container);
  const client = kubeletOf(serving, pod);
  const signals = call.signal === undefined ? [] : [call.signal];
  const signal = AbortSignal.any([serving.stopping, ...signals]);
  try {
    const upstream = { ...request, name, namespace, container };
    const onHeaders = () => call.streamBegun();
    yield* serverStreamIterable(client, "logs", upstream, { signal, onHeaders });
  } finally {
    client.close();
  }
}
