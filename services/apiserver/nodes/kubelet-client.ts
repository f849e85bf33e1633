/** The way from a pod to the kubelet of its node. */
import { connect } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { NodeStatus } from "../../../proto/gen/core.ts";
import { KubeletClient } from "../../../proto/gen/kubelet.ts";
import type { Document, Resource } from "../../kinds/mod.ts";
import { badRequest, notFound } from "../errors.ts";
import { objectKey } from "../storage/keys.ts";
import type { Backend } from "../verbs/backend.ts";
import type { Call } from "../verbs/call.ts";
import { admitConnection } from "../verbs/connection.ts";
import { allow, nameOf, namespaceOf } from "../verbs/pipeline.ts";
import { waitForCache } from "../verbs/resource-version.ts";
import type { NodeServing } from "./types.ts";

interface Named {
  readonly name?: string | undefined;
}

interface PodSpecParts {
  readonly nodeName?: string;
  readonly containers?: readonly Named[];
  readonly initContainers?: readonly Named[];
  readonly ephemeralContainers?: readonly Named[];
}

/** A pod that a subresource was asked of. */
export interface FoundPod {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly spec: PodSpecParts;
}

/** What a pod is asked for. */
interface Purpose {
  readonly verb: string;
  readonly subresource: string;
  /** Of a connection, as webhooks and policies see it; absent: there is none to be admitted. */
  readonly options?: Document;
}

/** Throws Forbidden, NotFound, BadRequest. */
export async function podFor(
  serving: NodeServing,
  call: Call,
  pods: Resource,
  request: { readonly name?: string | undefined; readonly namespace?: string | undefined },
  { verb, subresource, options }: Purpose,
): Promise<FoundPod> {
  const { backend } = serving;
  const name = nameOf(request.name);
  const namespace = namespaceOf(pods, request.namespace);
  allow(backend, call, { verb, resource: pods, subresource, namespace, name });
  await waitForCache(backend, pods, undefined);
  const pod = backend.cache.of(pods).get(objectKey(pods, namespace, name));
  if (pod === undefined) throw notFound(pods, name);
  if (options !== undefined) {
    await admitConnection(backend, call, { resource: pods, subresource, namespace, name, options });
  }
  const { metadata, spec } = pod.document;
  return { name, namespace, uid: metadata?.uid ?? "", spec: (spec ?? {}) as PodSpecParts };
}

/** The container that a request means. Throws BadRequest, in upstream's words. */
export function containerOf({ name, spec }: FoundPod, wanted: string | undefined): string {
  const mains = namesOf(spec.containers);
  const inits = namesOf(spec.initContainers);
  if (wanted) {
    if ([...mains, ...inits, ...namesOf(spec.ephemeralContainers)].includes(wanted)) return wanted;
    throw badRequest(`container ${wanted} is not valid for pod ${name}`);
  }
  const [only, second] = mains;
  if (only !== undefined && second === undefined) return only;
  const choice = mains.length > 0 ? `, choose one of: [${mains.join(" ")}]` : "";
  const others = inits.length > 0 ? ` or one of the init containers: [${inits.join(" ")}]` : "";
  throw badRequest(`a container name must be specified for pod ${name}${choice}${others}`);
}

function namesOf(list: readonly Named[] | undefined): readonly string[] {
  return (list ?? []).map((each) => each.name ?? "");
}

/** A client of the kubelet of the pod's node; the caller closes it. Throws BadRequest, NotFound. */
export function kubeletOf(serving: NodeServing, { name, spec }: FoundPod): KubeletClient {
  if (!spec.nodeName) throw badRequest(`pod ${name} does not have a host assigned`);
  return connect(KubeletClient, {
    addresses: [kubeletAddress(serving.backend, spec.nodeName)],
    tls: serving.kubeletTls,
  });
}

/** Where the node's kubelet serves, as its status says. Throws NotFound, unavailable. */
export function kubeletAddress(
  { registry, cache }: Pick<Backend, "registry" | "cache">,
  nodeName: string,
): string {
  const nodes = registry.required("v1", "Node");
  const node = cache.of(nodes).get(objectKey(nodes, "", nodeName));
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
