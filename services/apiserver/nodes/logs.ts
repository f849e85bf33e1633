import { connect, serverStreamIterable } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { LogChunk, LogsRequest, NodeStatus } from "../../../proto/gen/core.ts";
import { KubeletClient } from "../../../proto/gen/kubelet.ts";
import type { Resource } from "../../kinds/mod.ts";
import { badRequest, notFound } from "../errors.ts";
import { objectKey } from "../storage/keys.ts";
import type { Call } from "../verbs/call.ts";
import { allow, nameOf, namespaceOf } from "../verbs/pipeline.ts";
import { waitForCache } from "../verbs/resource-version.ts";
import type { NodeServing } from "./types.ts";

/** A container's output, passed on from the kubelet of the pod's node. */
export async function* logs(
  serving: NodeServing,
  call: Call,
  pods: Resource,
  request: LogsRequest,
): AsyncGenerator<LogChunk, void> {
  const { backend } = serving;
  const name = nameOf(request.name);
  const namespace = namespaceOf(pods, request.namespace);
  allow(backend, call, { verb: "get", resource: pods, subresource: "log", namespace, name });
  await waitForCache(backend, pods, undefined);
  const pod = backend.cache.of(pods).get(objectKey(pods, namespace, name));
  if (pod === undefined) throw notFound(pods, name);
  const spec = (pod.document["spec"] ?? {}) as PodSpec;
  const container = containerOf(name, spec, request.container);
  if (!spec.nodeName) {
    throw badRequest(`pod ${name} does not have a host assigned`);
  }
  const client = connect(KubeletClient, {
    addresses: [kubeletAddress(serving, spec.nodeName)],
    tls: serving.kubeletTls,
  });
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

interface PodSpec {
  nodeName?: string;
  containers?: { name?: string }[];
  initContainers?: { name?: string }[];
}

function containerOf(pod: string, spec: PodSpec, wanted: string | undefined): string {
  const names = (spec.containers ?? []).map((each) => each.name ?? "");
  const all = [...names, ...(spec.initContainers ?? []).map((each) => each.name ?? "")];
  if (wanted) {
    if (all.includes(wanted)) return wanted;
    throw badRequest(`container ${wanted} is not valid for pod ${pod}`);
  }
  const [only, second] = names;
  if (only !== undefined && second === undefined) return only;
  throw badRequest(
    `a container name must be specified for pod ${pod}, choose one of: [${all.join(" ")}]`,
  );
}

/** Where the node's kubelet serves, as its status says. */
function kubeletAddress(serving: NodeServing, nodeName: string): string {
  const nodes = serving.backend.registry.required("v1", "Node");
  const node = serving.backend.cache.of(nodes).get(objectKey(nodes, "", nodeName));
  if (node === undefined) throw notFound(nodes, nodeName);
  const status = (node.document["status"] ?? {}) as NodeStatus;
  const addressOf = (type: string) => status.addresses?.find((each) => each.type === type)?.address;
  const host = addressOf("InternalIP") ?? addressOf("Hostname");
  const port = status.daemonEndpoints?.kubeletEndpoint?.Port;
  if (host === undefined || port === undefined) {
    throw new StatusError(
      Code.unavailable,
      `node "${nodeName}" has not said where its kubelet serves: no address or kubeletEndpoint`,
    );
  }
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
