import type { Scale, ScaleWrite } from "../../../proto/gen/autoscaling.ts";
import type { GetRequest, PatchRequest } from "../../../proto/gen/meta.ts";
import { canonicalJson } from "../../kinds/machinery/json.ts";
import { messageSchema } from "../../kinds/machinery/resource-schema.ts";
import {
  type Document,
  defineResource,
  invalid as invalidCause,
  type Resource,
  type ScaleSubresource,
} from "../../kinds/mod.ts";
import type { AdmissionRequest } from "../admission/chain.ts";
import { badRequest, invalid, methodNotAllowed, notFound } from "../errors.ts";
import { ready } from "../storage/fetch.ts";
import { objectKey } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import { applyConfigured, configurationOf, type NamedTarget } from "./apply.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { change, type Outcome } from "./change.ts";
import { contentOf, type WriteRequest } from "./create.ts";
import { dryRunOf, metadataOf, sameDocument } from "./documents.ts";
import { managerOf, trackedFields } from "./managed-fields.ts";
import { checkPatchOptions, checkWriteOptions, isApply } from "./options.ts";
import { patchedDocument } from "./patch.ts";
import { nameOf, namespaceOf, run } from "./pipeline.ts";
import { parseResourceVersion, waitForCache } from "./resource-version.ts";
import { checkPreconditions, isFinal, replace } from "./update.ts";

/** Replaces a namespace's spec.finalizers; the last one gone, a terminating namespace goes too. */
export async function finalize(
  backend: Backend,
  call: Call,
  namespaces: Resource,
  request: WriteRequest,
): Promise<StoredObject> {
  const name = nameOf(request.body.name);
  const resource = namespaces;
  const subresource = "finalize";
  const target = { verb: "update", resource, subresource, namespace: "", name };
  return run(backend, call, target, contentOf(call, request), async () => {
    checkWriteOptions("UpdateOptions", request.options);
    const document = request.body.decode(call, request.options);
    const key = objectKey(resource, "", name);
    const dryRun = dryRunOf(request.options);
    const wanted = document["spec"] as { finalizers?: string[] } | undefined;
    const manager = managerOf(call, request.options);
    const about = { resource, key, name, dryRun, subresource, manager };
    const { object } = await change(backend, call, about, async (stored, admission) => {
      const { uid, resourceVersion } = metadataOf(document);
      checkPreconditions(resource, stored, { uid, resourceVersion });
      const next = stored.copy();
      next["spec"] = {
        ...(next["spec"] as object | undefined),
        finalizers: wanted?.finalizers ?? [],
      };
      const request = admission(next);
      await backend.admission.mutate(request);
      await backend.admission.validate(request);
      if (isFinal(resource, next)) return { action: "delete", document: next };
      if (sameDocument(next, stored.document)) return { action: "keep" };
      const live = stored.document;
      const write = { resource, live, next, given: undefined, manager, subresource };
      const managedFields = trackedFields(backend, write);
      if (managedFields.length > 0) metadataOf(next).managedFields = managedFields;
      return { action: "put", document: next };
    });
    return object;
  });
}

export async function getScale(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: GetRequest,
): Promise<Scale> {
  const name = nameOf(request.name);
  const namespace = namespaceOf(resource, request.namespace);
  const target = { verb: "get", resource, subresource: "scale", namespace, name };
  return run(backend, call, target, [], async () => {
    await waitForCache(
      backend,
      resource,
      parseResourceVersion(request.resourceVersion, "resourceVersion"),
    );
    const object = backend.cache.of(resource).get(objectKey(resource, namespace, name));
    if (object === undefined) throw notFound(resource, name);
    return scaleOf(await ready(object.as(resource)));
  });
}

/** Sets the replicas wanted, and nothing else. */
export async function updateScale(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: ScaleWrite,
): Promise<Scale> {
  const metadata = request.object?.metadata ?? {};
  const name = nameOf(metadata.name);
  const namespace = namespaceOf(resource, request.namespace, metadata.namespace);
  const target = { verb: "update", resource, subresource: "scale", namespace, name };
  return run(backend, call, target, [canonicalJson(request)], async () => {
    checkWriteOptions("UpdateOptions", request.options);
    const replicas = request.object?.spec?.replicas ?? 0;
    checkReplicas(name, replicas);
    const key = objectKey(resource, namespace, name);
    const dryRun = dryRunOf(request.options);
    const manager = managerOf(call, request.options);
    const about = { resource, key, name, dryRun, subresource: "scale", manager };
    const { object } = await change(backend, call, about, async (stored, admission) => {
      const { uid, resourceVersion } = metadata;
      checkPreconditions(resource, stored, { uid, resourceVersion });
      return rescaled(backend, stored, replicas, admission);
    });
    return scaleOf(object);
  });
}

/** Patches the Scale, and so the replicas wanted. */
export async function patchScale(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: PatchRequest,
): Promise<Scale> {
  const name = nameOf(request.name);
  const namespace = namespaceOf(resource, request.namespace);
  const target = { verb: "patch", resource, subresource: "scale", namespace, name };
  const { patch: bytes = Buffer.alloc(0), ...rest } = request;
  return run(backend, call, target, [bytes, canonicalJson(rest)], async () => {
    if (bytes.length === 0) throw badRequest("patch is required");
    checkPatchOptions(request);
    if (isApply(request.patchType))
      return scaleOf(await applyScale(backend, call, target, request));
    const key = objectKey(resource, namespace, name);
    const dryRun = dryRunOf(request.options);
    const manager = managerOf(call, request.options);
    const about = { resource, key, name, dryRun, subresource: "scale", manager };
    const { object } = await change(backend, call, about, async (stored, admission) => {
      const scale = scaleOf(stored) as Document;
      const patched = patchedDocument(scales, request.patchType ?? "", scale, bytes) as Scale;
      const { uid, resourceVersion } = patched.metadata ?? {};
      checkPreconditions(resource, stored, { uid, resourceVersion });
      const replicas = patched.spec?.replicas ?? 0;
      checkReplicas(name, replicas);
      return rescaled(backend, stored, replicas, admission);
    });
    return scaleOf(object);
  });
}

/** The cluster's users are asked about the Scale, which they may change, not about the object. */
async function rescaled(
  backend: Backend,
  stored: StoredObject,
  replicas: number,
  admission: (document: Document) => AdmissionRequest,
): Promise<Outcome> {
  const next = stored.copy();
  scaleViewOf(stored.resource).setReplicas(next, replicas);
  await admitScale(backend, stored, next, admission);
  return replace(backend, stored, admission(next), { admitted: true });
}

/** Sets the replicas that the admission chain makes of those that `next` has. */
async function admitScale(
  backend: Backend,
  stored: StoredObject,
  next: Document,
  admission: (document: Document) => AdmissionRequest,
): Promise<void> {
  const { resource, name } = stored;
  const view = scaleViewOf(resource);
  const present = scaleOf(stored) as Document;
  const wanted = { ...present, spec: { replicas: view.replicas(next) } } as Document;
  await backend.admission.check({ ...admission(wanted), stored: present });
  const admitted = (wanted as Scale).spec?.replicas ?? 0;
  checkReplicas(name, admitted);
  if (admitted !== view.replicas(next)) view.setReplicas(next, admitted);
}

/** A Scale's replicas are applied as the field of the object that they stand for. */
function applyScale(
  backend: Backend,
  call: Call,
  target: NamedTarget,
  request: PatchRequest,
): Promise<StoredObject> {
  const { resource, name } = target;
  const scale = configurationOf(call, { ...target, resource: scales }, request);
  const { resourceVersion, uid } = scale.metadata ?? {};
  const configuration: Document = { metadata: { name, resourceVersion, uid } };
  const replicas = (scale["spec"] as { replicas?: number } | undefined)?.replicas;
  if (replicas !== undefined) {
    checkReplicas(name, replicas);
    scaleViewOf(resource).setReplicas(configuration, replicas);
  }
  const shownVersion = "autoscaling/v1";
  return applyConfigured(backend, call, target, request, configuration, {
    shownVersion,
    admitted: (stored, next, admission) => admitScale(backend, stored, next, admission),
  });
}

/** Throws Invalid. */
function checkReplicas(name: string, replicas: number): void {
  if (Number.isInteger(replicas) && replicas >= 0) return;
  const detail = "must be greater than or equal to 0";
  throw invalid(scales, name, [invalidCause("spec.replicas", replicas, detail)]);
}

/** The patches know a Scale's fields by it. */
const scales = defineResource({
  ...{ group: "autoscaling", version: "v1", kind: "Scale", plural: "scales" },
  schema: messageSchema("trireme.autoscaling.v1.Scale"),
});

function scaleViewOf(resource: Resource): ScaleSubresource {
  const { scale } = resource.subresources;
  if (scale !== undefined) return scale;
  throw methodNotAllowed(`${resource.plural} have no scale subresource`);
}

function scaleOf(object: StoredObject): Scale {
  const view = scaleViewOf(object.resource);
  const { document } = object;
  const { name, namespace, uid, resourceVersion, creationTimestamp } = document.metadata ?? {};
  return {
    apiVersion: "autoscaling/v1",
    kind: "Scale",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: view.replicas(document) },
    status: { replicas: view.currentReplicas(document), selector: view.selector(document) },
  };
}
