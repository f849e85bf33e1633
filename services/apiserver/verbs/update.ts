import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { PatchRequest } from "../../../proto/gen/meta.ts";
import {
  applyPatch,
  checkSchema,
  type Document,
  type Kind,
  keepUnknown,
  validateMetadata,
  validateMetadataUpdate,
} from "../../kinds/mod.ts";
import { assignAddress, checkAddresses } from "../admission/service-addresses.ts";
import { badRequest, conflict, invalid } from "../errors.ts";
import { objectKey } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { change, type Outcome } from "./change.ts";
import type { WriteRequest } from "./create.ts";
import {
  checkDocument,
  checkType,
  countsGenerations,
  dryRunOf,
  metadataOf,
  sameDocument,
  sameValue,
  schemaModeOf,
} from "./documents.ts";
import { parseResourceVersion } from "./fetch.ts";
import { nameOf, namespaceOf, run } from "./pipeline.ts";

export type Subresource = "" | "status";

export interface UpdateRequest extends WriteRequest {
  readonly subresource: Subresource;
  /** The document came as the typed message, which may not know every stored field. */
  readonly typed: boolean;
}

/** Replaces an object, or its status. Throws NotFound, Conflict, Invalid. */
export async function update(
  backend: Backend,
  call: Call,
  kind: Kind,
  request: UpdateRequest,
): Promise<StoredObject> {
  const { document, subresource } = request;
  const metadata = metadataOf(document);
  const namespace = namespaceOf(kind, request.namespace, metadata.namespace);
  const name = nameOf(metadata.name);
  const target = { verb: "update", kind, subresource, namespace, name };
  return run(backend, call, target, async () => {
    checkSubresource(kind, subresource);
    checkType(kind, document);
    schemaModeOf(request.options);
    parseResourceVersion(metadata.resourceVersion, "metadata.resourceVersion");
    if (kind.namespaced) metadata.namespace = namespace;
    const key = objectKey(kind, namespace, name);
    const dryRun = dryRunOf(request.options);
    const { object } = await change(backend, call, { kind, key, name, dryRun }, (stored) => {
      const known = request.typed ? keepUnknown(kind.message, document, stored.document) : document;
      return replace(backend, kind, stored, structuredClone(known), subresource);
    });
    return object;
  });
}

/**
 * Applies a patch to the object as it is; when it has changed by the time of writing, applies it
 * again to what it has become.
 */
export async function patch(
  backend: Backend,
  call: Call,
  kind: Kind,
  request: PatchRequest,
): Promise<StoredObject> {
  const namespace = namespaceOf(kind, request.namespace);
  const name = nameOf(request.name);
  const subresource = subresourceOf(request.subresource);
  const bytes = request.patch;
  const target = { verb: "patch", kind, subresource, namespace, name };
  return run(backend, call, target, async () => {
    checkSubresource(kind, subresource);
    if (bytes === undefined || bytes.length === 0) throw badRequest("patch is required");
    const key = objectKey(kind, namespace, name);
    const dryRun = dryRunOf(request.options);
    const { object } = await change(backend, call, { kind, key, name, dryRun }, (stored) => {
      const patched = applyPatch(kind, request.patchType ?? "", stored.copy(), bytes);
      const tolerated = new Set(checkSchema(kind.message, stored.document, "warn").unknown);
      const checked = checkDocument(call, kind, patched, request.options, { tolerated });
      const next = keepUnknown(kind.message, checked, stored.document);
      checkType(kind, next);
      return replace(backend, kind, stored, next, subresource);
    });
    return object;
  });
}

function subresourceOf(text: string | undefined): Subresource {
  if (text === undefined || text === "") return "";
  if (text === "status") return text;
  throw badRequest(`subresource "${text}" cannot be patched, only "status" can`);
}

function checkSubresource(kind: Kind, subresource: Subresource): void {
  if (subresource === "" || kind.hasStatus) return;
  throw new StatusError(Code.unimplemented, `${kind.plural} have no status subresource`, {
    reason: "MethodNotAllowed",
  });
}

/** What a new version of an object becomes; `next` is changed in place. */
export function replace(
  backend: Backend,
  kind: Kind,
  stored: StoredObject,
  incoming: Document,
  subresource: Subresource,
): Outcome {
  checkPreconditions(kind, stored, {
    uid: incoming.metadata?.uid || undefined,
    resourceVersion: incoming.metadata?.resourceVersion || undefined,
  });
  const next = subresource === "status" ? withStatus(stored, incoming) : incoming;
  keepServerFields(kind, next, stored.document);
  if (subresource === "" && kind.hasStatus) keepStatus(next, stored.document);
  kind.setDefaults(next);
  if (isService(kind)) assignAddress(backend, next, stored.document);
  const causes = [
    ...validateMetadata(kind, next),
    ...validateMetadataUpdate(next, stored.document),
    ...kind.validate(next),
    ...kind.validateUpdate(next, stored.document),
    ...(isService(kind) ? checkAddresses(backend, next, stored.document) : []),
  ];
  if (causes.length > 0) throw invalid(kind, stored.name, causes);
  if (isFinal(kind, next)) return { action: "delete" };
  if (countsGenerations(kind) && !sameValue(next["spec"], stored.document["spec"])) {
    const metadata = metadataOf(next);
    metadata.generation = (stored.document.metadata?.generation ?? 0) + 1;
  }
  if (sameDocument(next, stored.document)) return { action: "keep" };
  return { action: "put", document: next };
}

export interface Preconditions {
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

/** Throws Conflict in upstream's words. */
export function checkPreconditions(
  kind: Kind,
  stored: StoredObject,
  preconditions: Preconditions,
): void {
  const { uid, resourceVersion } = preconditions;
  const presentUid = stored.document.metadata?.uid;
  if (uid !== undefined && uid !== "" && uid !== presentUid) {
    throw conflict(
      kind,
      stored.name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${presentUid}`,
    );
  }
  const version = parseResourceVersion(resourceVersion, "resourceVersion");
  if (version !== undefined && version !== stored.revision) throw conflict(kind, stored.name);
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

function keepServerFields(kind: Kind, next: Document, stored: Document): void {
  const from = stored.metadata ?? {};
  const metadata = { ...metadataOf(next) };
  for (const field of kept) delete metadata[field];
  delete metadata.resourceVersion;
  const entries = kept.filter((field) => from[field] !== undefined);
  Object.assign(metadata, Object.fromEntries(entries.map((field) => [field, from[field]])));
  if (!kind.namespaced) delete metadata.namespace;
  next.metadata = metadata;
}

function keepStatus(next: Document, stored: Document): void {
  if (stored["status"] === undefined) delete next["status"];
  else next["status"] = structuredClone(stored["status"]);
}

function isService(kind: Kind): boolean {
  return kind.kind === "Service" && kind.group === "";
}

/** Being deleted, and nothing holds it any more. */
export function isFinal(kind: Kind, document: Document): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = document.metadata ?? {};
  if (deletionTimestamp === undefined || (finalizers?.length ?? 0) > 0) return false;
  if ((deletionGracePeriodSeconds ?? 0) > 0) return false;
  if (kind.kind !== "Namespace") return true;
  const spec = document["spec"] as { finalizers?: string[] } | undefined;
  return (spec?.finalizers?.length ?? 0) === 0;
}
