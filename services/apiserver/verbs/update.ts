import type { PatchRequest } from "../../../proto/gen/meta.ts";
import {
  applyPatch,
  type Document,
  invalid as invalidCause,
  type Resource,
  validateMetadata,
  validateMetadataUpdate,
} from "../../kinds/mod.ts";
import type { AdmissionRequest } from "../admission/chain.ts";
import { badRequest, conflict, invalid, methodNotAllowed } from "../errors.ts";
import { objectKey } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { change, type Outcome } from "./change.ts";
import { contentOf, type WriteRequest } from "./create.ts";
import {
  checkDocument,
  checkType,
  countsGenerations,
  desiredState,
  dryRunOf,
  metadataOf,
  sameDocument,
  sameValue,
  schemaModeOf,
} from "./documents.ts";
import { nameOf, namespaceOf, run } from "./pipeline.ts";
import { parseResourceVersion } from "./resource-version.ts";
import { warnOfFields } from "./warnings.ts";

type Subresource = "" | "status";

export interface UpdateRequest extends WriteRequest {
  readonly subresource: Subresource;
  /** The document came as the typed message, which may not know every stored field. */
  readonly typed: boolean;
}

/** Replaces an object, or its status. Throws NotFound, Conflict, Invalid. */
export async function update(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: UpdateRequest,
): Promise<StoredObject> {
  const { body, options, subresource } = request;
  const namespace = namespaceOf(resource, request.namespace, body.namespace);
  const name = nameOf(body.name);
  const target = { verb: "update", resource, subresource, namespace, name };
  return run(backend, call, target, contentOf(call, request), async () => {
    checkSubresource(resource, subresource);
    schemaModeOf(options);
    const dryRun = dryRunOf(options);
    const document = body.decode(call, options);
    checkType(resource, document);
    if (subresource === "") warnOfFields(call, resource, document, options);
    const metadata = metadataOf(document);
    const version = parseResourceVersion(metadata.resourceVersion, "metadata.resourceVersion");
    if (resource.namespaced) metadata.namespace = namespace;
    const key = objectKey(resource, namespace, name);
    const about = { resource, key, name, dryRun, subresource };
    const { object } = await change(backend, call, about, async (stored, admission) => {
      if (version === undefined && !resource.allowUnconditionalUpdate) {
        throw invalid(resource, name, [unconditional]);
      }
      const known = request.typed
        ? resource.schema.keepUnknown(document, stored.document)
        : document;
      return replace(backend, stored, admission(structuredClone(known)));
    });
    return object;
  });
}

const unconditional = invalidCause(
  "metadata.resourceVersion",
  0,
  "must be specified for an update",
);

/**
 * Applies a patch to the object as it is; when it has changed by the time of writing, applies it
 * again to what it has become.
 */
export async function patch(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: PatchRequest,
): Promise<StoredObject> {
  const namespace = namespaceOf(resource, request.namespace);
  const name = nameOf(request.name);
  const subresource = subresourceOf(request.subresource);
  const { patch: bytes = Buffer.alloc(0), ...rest } = request;
  const target = { verb: "patch", resource, subresource, namespace, name };
  return run(backend, call, target, [bytes, JSON.stringify(rest)], async () => {
    checkSubresource(resource, subresource);
    if (bytes.length === 0) throw badRequest("patch is required");
    const key = objectKey(resource, namespace, name);
    const dryRun = dryRunOf(request.options);
    const about = { resource, key, name, dryRun, subresource };
    const { object } = await change(backend, call, about, async (stored, admission) => {
      const patched = applyPatch(resource, request.patchType ?? "", stored.copy(), bytes);
      const tolerated = new Set(resource.schema.check(stored.document, "warn").unknown);
      const checked = checkDocument(call, resource, patched, request.options, { tolerated });
      const next = resource.schema.keepUnknown(checked, stored.document);
      checkType(resource, next);
      if (subresource === "") warnOfFields(call, resource, next, request.options);
      return replace(backend, stored, admission(next));
    });
    return object;
  });
}

function subresourceOf(text: string | undefined): Subresource {
  if (text === undefined || text === "") return "";
  if (text === "status") return text;
  throw badRequest(`subresource "${text}" cannot be patched, only "status" can`);
}

function checkSubresource(resource: Resource, subresource: Subresource): void {
  if (subresource === "" || resource.subresources.status) return;
  throw methodNotAllowed(`${resource.plural} have no status subresource`);
}

/** What a new version of an object becomes; the request's document is changed in place. */
export async function replace(
  backend: Backend,
  stored: StoredObject,
  admission: AdmissionRequest,
): Promise<Outcome> {
  const { resource, subresource, document: incoming = {} } = admission;
  checkPreconditions(resource, stored, {
    uid: incoming.metadata?.uid || undefined,
    resourceVersion: incoming.metadata?.resourceVersion || undefined,
  });
  const next = subresource === "status" ? withStatus(stored, incoming) : incoming;
  keepServerFields(resource, next, stored.document);
  if (subresource === "" && resource.subresources.status) keepStatus(next, stored.document);
  resource.setDefaults(next);
  const about = { ...admission, document: next };
  await backend.admission.mutate(about);
  resource.prepareForUpdate(next, stored.document, backend.now());
  const causes = [
    ...validateMetadata(resource, next),
    ...validateMetadataUpdate(next, stored.document),
    ...resource.validate(next, stored.document).filter(({ field }) => concerns(subresource, field)),
    ...resource.validateUpdate(next, stored.document),
  ];
  if (causes.length > 0) throw invalid(resource, stored.name, causes);
  await backend.admission.validate(about);
  if (isFinal(resource, next)) return { action: "delete" };
  if (countsGenerations(resource) && !sameDesire(resource, next, stored.document)) {
    const metadata = metadataOf(next);
    metadata.generation = (stored.document.metadata?.generation ?? 0) + 1;
  }
  if (sameDocument(next, stored.document)) return { action: "keep" };
  return { action: "put", document: next };
}

function sameDesire(resource: Resource, next: Document, stored: Document): boolean {
  return sameValue(desiredState(resource, next), desiredState(resource, stored));
}

/** A write of the status cannot mend a spec that an older release accepted, so it is not held to it. */
function concerns(subresource: string, field: string): boolean {
  return subresource !== "status" || !field.startsWith("spec");
}

export interface Preconditions {
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

/** Throws Conflict in upstream's words. */
export function checkPreconditions(
  resource: Resource,
  stored: StoredObject,
  preconditions: Preconditions,
): void {
  const { uid, resourceVersion } = preconditions;
  const presentUid = stored.document.metadata?.uid;
  if (uid !== undefined && uid !== "" && uid !== presentUid) {
    throw conflict(
      resource,
      stored.name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${presentUid}`,
    );
  }
  const version = parseResourceVersion(resourceVersion, "resourceVersion");
  if (version !== undefined && version !== stored.revision) throw conflict(resource, stored.name);
}

function withStatus(stored: StoredObject, incoming: Document): Document {
  const next = stored.copy();
  if (incoming["status"] === undefined) delete next["status"];
  else next["status"] = incoming["status"];
  return next;
}

const kept = [
  "uid",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "generation",
  "generateName",
  "selfLink",
  "managedFields",
] as const;

function keepServerFields(resource: Resource, next: Document, stored: Document): void {
  const from = stored.metadata ?? {};
  const metadata = { ...metadataOf(next) };
  for (const field of kept) delete metadata[field];
  delete metadata.resourceVersion;
  const entries = kept.filter((field) => from[field] !== undefined);
  Object.assign(metadata, Object.fromEntries(entries.map((field) => [field, from[field]])));
  if (!resource.namespaced) delete metadata.namespace;
  next.metadata = metadata;
}

function keepStatus(next: Document, stored: Document): void {
  if (stored["status"] === undefined) delete next["status"];
  else next["status"] = structuredClone(stored["status"]);
}

/** Being deleted, and nothing holds it any more. */
export function isFinal(resource: Resource, document: Document): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = document.metadata ?? {};
  if (deletionTimestamp === undefined || (finalizers?.length ?? 0) > 0) return false;
  if ((deletionGracePeriodSeconds ?? 0) > 0) return false;
  return !resource.holdsDeletion(document);
}
