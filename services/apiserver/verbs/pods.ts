import type { Binding, Eviction, Pod } from "../../../proto/gen/core.ts";
import type { Status, WriteOptions } from "../../../proto/gen/meta.ts";
import { canonicalJson } from "../../kinds/machinery/json.ts";
import { type Document, type Resource, required, rfc3339Seconds } from "../../kinds/mod.ts";
import { badRequest, conflict, invalid } from "../errors.ts";
import { checkKeyPart, objectKey } from "../storage/keys.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { change, type Outcome } from "./change.ts";
import { checkDeletion, deleted, removeAdmitted } from "./delete.ts";
import { dryRunOf } from "./documents.ts";
import { markEvicted, takeFromBudget } from "./eviction.ts";
import { checkWriteOptions } from "./options.ts";
import { nameOf, namespaceOf, run } from "./pipeline.ts";
import { checkPreconditions } from "./update.ts";

/** Assigns a pod to a node, once. Throws Conflict when it has one, or is being deleted. */
export async function bind(
  backend: Backend,
  call: Call,
  pods: Resource,
  binding: Binding,
  options?: WriteOptions,
): Promise<Status> {
  const name = nameOf(binding.metadata?.name);
  const namespace = namespaceOf(pods, binding.metadata?.namespace);
  const target = { verb: "create", resource: pods, subresource: "binding", namespace, name };
  const content = [canonicalJson(binding), ...(options ? [canonicalJson(options)] : [])];
  return run(backend, call, target, content, async () => {
    checkWriteOptions("CreateOptions", options);
    await assign(backend, call, pods, { ...target, dryRun: dryRunOf(options) }, binding);
    return success;
  });
}

const success: Status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" };

/** As what a binding is admitted: the pod's subresource, or a resource of its own. */
interface AssignedAs extends Omit<AdmittedAs, "name"> {
  readonly dryRun: boolean;
}

/** The work of `bind`, for a caller who may do it. */
export async function assign(
  backend: Backend,
  call: Call,
  pods: Resource,
  about: AssignedAs,
  binding: Binding,
): Promise<void> {
  const { namespace, dryRun } = about;
  const name = nameOf(binding.metadata?.name);
  const node = nodeOf(pods, name, binding);
  const key = objectKey(pods, namespace, name);
  const body = { apiVersion: "v1", kind: "Binding", ...binding };
  await admitBody(backend, call, { ...about, name }, body, dryRun);
  const request = { resource: pods, key, name, dryRun };
  await change(backend, call, request, (stored) => {
    const { uid, resourceVersion } = binding.metadata ?? {};
    checkPreconditions(pods, stored, { uid, resourceVersion });
    return boundTo(backend, pods, stored.document, name, node, binding);
  });
}

interface AdmittedAs {
  readonly resource: Resource;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

/** Webhooks and policies are asked about the body that was posted. */
async function admitBody(
  backend: Backend,
  call: Call,
  target: AdmittedAs,
  document: Document,
  dryRun = false,
): Promise<void> {
  const { resource, subresource, namespace, name } = target;
  await backend.admission.check({
    ...{ user: call.user, operation: "create", resource, subresource, namespace, name },
    ...{ document, stored: undefined, dryRun, warnings: call.warnings, notes: new Map() },
    annotate: call.audit?.annotate,
    traced: call,
  });
}

function nodeOf(pods: Resource, name: string, binding: Binding): string {
  const { target } = binding;
  const kind = target?.kind || "Node";
  if (kind !== "Node") throw badRequest(`target.kind is "${kind}", only "Node" can be bound to`);
  if (!target?.name) throw invalid(pods, name, [required("target.name")]);
  return checkKeyPart("target.name", target.name);
}

interface Condition {
  type?: string;
  status?: string;
  lastTransitionTime?: string;
}

/** The new document shares what stays as it is with the stored one. */
function boundTo(
  backend: Backend,
  pods: Resource,
  pod: Document,
  name: string,
  node: string,
  binding: Binding,
): Outcome {
  const spec = (pod["spec"] ?? {}) as { nodeName?: string; schedulingGates?: unknown[] };
  if (pod.metadata?.deletionTimestamp !== undefined) {
    throw conflict(pods, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  }
  if (spec.nodeName) {
    throw conflict(pods, name, `pod ${name} is already assigned to node "${spec.nodeName}"`);
  }
  if (spec.schedulingGates?.length) {
    throw conflict(pods, name, `pod ${name} has non-empty .spec.schedulingGates`);
  }
  const { annotations = {} } = binding.metadata ?? {};
  const { metadata } = pod;
  const isAnnotated = Object.keys(annotations).length > 0;
  const more = isAnnotated && { annotations: { ...metadata?.annotations, ...annotations } };
  const status = (pod["status"] ?? {}) as { conditions?: Condition[] };
  const others = (status.conditions ?? []).filter((each) => each.type !== "PodScheduled");
  const lastTransitionTime = rfc3339Seconds(backend.now());
  const scheduled = { type: "PodScheduled", status: "True", lastTransitionTime };
  const document = {
    ...pod,
    metadata: { ...metadata, ...more },
    spec: { ...spec, nodeName: node },
    status: { ...status, conditions: [...others, scheduled] },
  };
  return { action: "put", document };
}

/** Deletes a pod on behalf of a caller that would rather wait than break the pod's service. */
export async function evict(
  backend: Backend,
  call: Call,
  pods: Resource,
  eviction: Eviction,
): Promise<Status> {
  const name = nameOf(eviction.metadata?.name);
  const namespace = namespaceOf(pods, eviction.metadata?.namespace);
  const target = { verb: "create", resource: pods, subresource: "eviction", namespace, name };
  return run(backend, call, target, [canonicalJson(eviction)], async () => {
    const deletion = eviction.deleteOptions ?? {};
    checkDeletion(deletion);
    const key = objectKey(pods, namespace, name);
    const dryRun = dryRunOf(deletion);
    const body = { apiVersion: "policy/v1", kind: "Eviction", ...eviction };
    await admitBody(backend, call, target, body, dryRun);
    const stored = backend.cache.of(pods).get(key);
    if (stored) await takeFromBudget(backend, call, stored.document as Pod, dryRun);
    if (stored && !dryRun) {
      await markEvicted(backend, call, pods, key, deletion.preconditions?.uid);
    }
    const { object } = await removeAdmitted(backend, call, pods, key, deletion);
    return deleted(pods, object);
  });
}
