import { Code, type FieldCause, StatusError } from "../../../ha/runtime/status-error.ts";
import type { ManagedFieldsEntry } from "../../../proto/gen/meta.ts";
import {
  type Document,
  invalid as invalidCause,
  type Resource,
  validateMetadata,
  validateMetadataUpdate,
} from "../../kinds/mod.ts";
import type { AdmissionRequest } from "../admission/chain.ts";
import { conflict, invalid, methodNotAllowed } from "../errors.ts";
import { objectKey } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { change, type Outcome } from "./change.ts";
import { contentOf, createDocument, type Own, type WriteRequest } from "./create.ts";
import {
  checkType,
  contextOf,
  countsGenerations,
  desiredState,
  dryRunOf,
  metadataOf,
  sameButForTimes,
  sameValue,
} from "./documents.ts";
import { managerOf, trackedFields } from "./managed-fields.ts";
import { checkWriteOptions } from "./options.ts";
import { dropRepeatedOwners } from "./owners.ts";
import { allow, nameOf, namespaceOf, run } from "./pipeline.ts";
import { parseResourceVersion } from "./resource-version.ts";
import { addWarnings, warnOfFields } from "./warnings.ts";

/** "" or one that writes the status: `status`, or one of the resource's `statusSubresources`. */
export type Subresource = string;

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
    checkWriteOptions("UpdateOptions", options);
    const dryRun = dryRunOf(options);
    const document = body.decode(call, options);
    checkType(resource, document);
    dropRepeatedOwners(call, document);
    if (subresource === "") warnOfFields(call, resource, document, options);
    const metadata = metadataOf(document);
    const version = parseResourceVersion(metadata.resourceVersion, "metadata.resourceVersion");
    if (resource.namespaced) metadata.namespace = namespace;
    const key = objectKey(resource, namespace, name);
    const manager = managerOf(call, options);
    const about = { resource, key, name, dryRun, subresource, manager };
    const replaced = change(backend, call, about, async (stored, admission) => {
      if (!version && !resource.allowUnconditionalUpdate) {
        throw invalid({ group: resource.group, kind: resource.plural }, name, [unconditional]);
      }
      const known = request.typed
        ? resource.schema.keepUnknown(document, stored.document)
        : document;
      return replace(backend, stored, admission(ownPart(resource, subresource, known)));
    });
    try {
      return (await replaced).object;
    } catch (thrown) {
      const absent = thrown instanceof StatusError && thrown.code === Code.notFound;
      const creates = resource.createOnUpdate === true && subresource === "";
      // Who names a version means the object that had it.
      if (!absent || !creates || version !== undefined) throw thrown;
    }
    allow(backend, call, { verb: "create", resource, namespace, name });
    const own: Own = (next, given) => trackedFields(backend, { resource, next, given, manager });
    const made = await createDocument(backend, call, resource, document, {
      ...{ namespace, dryRun, own },
    });
    call.created = true;
    return made;
  });
}

const unconditional = invalidCause(
  "metadata.resourceVersion",
  0,
  "must be specified for an update",
);

export function checkSubresource(resource: Resource, subresource: Subresource): void {
  if (subresource === "" || resource.subresources.status) return;
  throw methodNotAllowed(`${resource.plural} have no status subresource`);
}

interface Known {
  /** The new version's managedFields; absent: the request's manager gets what it changes. */
  readonly owned?: ManagedFieldsEntry[];
  /** The admission chain has been asked already, about another form of the request. */
  readonly admitted?: boolean;
}

/** What a new version of an object becomes; the request's document is changed in place. */
export async function replace(
  backend: Backend,
  stored: StoredObject,
  admission: AdmissionRequest,
  { owned, admitted = false }: Known = {},
): Promise<Outcome> {
  const { resource, subresource, manager = "", document: incoming = {} } = admission;
  const given = subresource === "" ? incoming.metadata?.managedFields : undefined;
  checkPreconditions(resource, stored, {
    uid: incoming.metadata?.uid || undefined,
    resourceVersion: incoming.metadata?.resourceVersion || undefined,
  });
  const early = subresource === "" ? startsDeletion(incoming, stored.document) : [];
  const ofStatus = writesStatus(resource, subresource);
  const next = ofStatus ? withStatus(stored.document, incoming) : incoming;
  keepServerFields(resource, next, stored.document);
  if (subresource === "" && resource.subresources.status) keepStatus(next, stored.document);
  resource.setDefaults(next);
  const live = stored.document;
  // Of a status nothing else is the writer's doing, and what is the same is known to be without a look.
  const written = ofStatus ? { ...live, metadata: next.metadata, status: next["status"] } : next;
  const write = { resource, live, next: written, given, manager, subresource };
  const managedFields = owned ?? trackedFields(backend, write);
  if (managedFields.length > 0) metadataOf(next).managedFields = managedFields;
  const about = { ...admission, document: next };
  if (!admitted) await backend.admission.mutate(about);
  const context = contextOf(admission);
  resource.prepareForUpdate(next, stored.document, backend.now(), context);
  const causes = [
    ...early,
    ...validateMetadata(resource, next),
    ...validateMetadataUpdate(next, stored.document),
    ...validateChanged(about, next, stored.document),
    ...resource.validateUpdate(next, stored.document, context),
  ];
  if (causes.length > 0) throw invalid(resource, stored.name, causes);
  const desires = !sameDesire(resource, next, stored.document);
  if (desires) addWarnings(admission.warnings, resource.warnings?.(next, stored.document));
  if (!admitted) await backend.admission.validate(about);
  if (isFinal(resource, next)) return { action: "delete", document: next };
  if (countsGenerations(resource) && desires) {
    const metadata = metadataOf(next);
    metadata.generation = (stored.document.metadata?.generation ?? 0) + 1;
  }
  if (sameButForTimes(next, stored.document)) return { action: "keep" };
  return { action: "put", document: next };
}

function sameDesire(resource: Resource, next: Document, stored: Document): boolean {
  return sameValue(desiredState(resource, next), desiredState(resource, stored));
}

/** A write of the status cannot mend a spec that an older release accepted, so it is not held to it. */
function validateChanged(
  { resource, subresource }: AdmissionRequest,
  next: Document,
  stored: Document,
): FieldCause[] {
  const ofStatus = writesStatus(resource, subresource);
  if (ofStatus && resource.validatesSpecAlone === true) return [];
  const causes = resource.validate(next, stored);
  return ofStatus ? causes.filter(({ field }) => !field.startsWith("spec")) : causes;
}

export function writesStatus(resource: Resource, subresource: string): boolean {
  return subresource === "status" || (resource.statusSubresources ?? []).includes(subresource);
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
  const version = parseResourceVersion(resourceVersion, "metadata.resourceVersion");
  // 0 is upstream's other word for none.
  if (version && version !== stored.revision) throw conflict(resource, stored.name);
}

/** Only a deletion sets these (apimachinery `ValidateObjectMetaAccessorUpdate`). */
function startsDeletion(incoming: Document, stored: Document): FieldCause[] {
  const { metadata = {} } = incoming;
  const { deletionTimestamp, deletionGracePeriodSeconds } = stored.metadata ?? {};
  const causes: FieldCause[] = [];
  const why = "field is immutable";
  if (deletionTimestamp === undefined && metadata.deletionTimestamp !== undefined) {
    causes.push(invalidCause("metadata.deletionTimestamp", metadata.deletionTimestamp, why));
  }
  const seconds = metadata.deletionGracePeriodSeconds;
  if (seconds !== undefined && seconds !== deletionGracePeriodSeconds) {
    causes.push(invalidCause("metadata.deletionGracePeriodSeconds", seconds, why));
  }
  return causes;
}

/** A copy of what `replace` takes over from a request, and may change: of one of the status, that alone. */
function ownPart(resource: Resource, subresource: string, document: Document): Document {
  if (!writesStatus(resource, subresource)) return structuredClone(document);
  return { ...document, status: structuredClone(document["status"]) };
}

/**
 * What a write of the status leaves alone is the stored document's own, which costs no copy, and is
 * known to be the same without a look. Hooks find nothing to change in it: it has been through them.
 */
function withStatus(stored: Document, incoming: Document): Document {
  const { status: _, ...next } = stored;
  if (incoming["status"] !== undefined) next["status"] = incoming["status"];
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
] as const;

function keepServerFields(resource: Resource, next: Document, stored: Document): void {
  const from = stored.metadata ?? {};
  const metadata = { ...metadataOf(next) };
  for (const field of kept) delete metadata[field];
  delete metadata.managedFields;
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
