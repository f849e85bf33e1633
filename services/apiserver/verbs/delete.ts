import { createHash } from "node:crypto";
import { Code, type FieldCause, StatusError } from "../../../ha/runtime/status-error.ts";
import type {
  DeleteCollectionRequest,
  DeleteRequest,
  ObjectMeta,
  Preconditions,
  Status,
} from "../../../proto/gen/meta.ts";
import { canonicalJson } from "../../kinds/machinery/json.ts";
import {
  type Document,
  equalJson,
  notSupportedInOrder,
  type Resource,
  rfc3339Seconds,
} from "../../kinds/mod.ts";
import type { AdmissionRequest } from "../admission/chain.ts";
import { badRequest, conflict, methodNotAllowed } from "../errors.ts";
import { limits } from "../limits.ts";
import { objectKey } from "../storage/keys.ts";
import { createSelection } from "../storage/selection.ts";
import { convertAll, type StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { type Changed, change, type Outcome } from "./change.ts";
import { countsGenerations, dryRunOf, metadataOf } from "./documents.ts";
import type { ListPage } from "./list.ts";
import { dryRunCauses, refuseOptions } from "./options.ts";
import { nameOf, namespaceOf, run } from "./pipeline.ts";
import { waitForCache } from "./resource-version.ts";
import { isFinal } from "./update.ts";

export interface Deletion {
  readonly gracePeriodSeconds?: number | undefined;
  readonly preconditions?: Preconditions | undefined;
  readonly propagationPolicy?: string | undefined;
  readonly dryRun?: string[] | undefined;
}

/**
 * Deletes an object, or begins to: finalizers and a grace period leave it there with a
 * deletionTimestamp. Throws NotFound, Conflict (preconditions), Forbidden.
 */
export async function remove(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: DeleteRequest,
): Promise<Status> {
  return (await removeObject(backend, call, resource, request)).status;
}

/** As `remove`; `object`: what is still there, as its deletion has only begun. */
export async function removeObject(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: DeleteRequest,
): Promise<{ readonly status: Status; readonly object: StoredObject | undefined }> {
  const name = nameOf(request.name);
  const namespace = namespaceOf(resource, request.namespace);
  const target = { verb: "delete", resource, namespace, name };
  return run(backend, call, target, [canonicalJson(request)], async () => {
    checkDeletion(request);
    const key = objectKey(resource, namespace, name);
    const { action, object } = await removeKey(backend, call, resource, key, request);
    const left = action === "delete" ? undefined : object;
    return { status: deleted(resource, object), object: left };
  });
}

export function removeKey(
  backend: Backend,
  call: Call,
  resource: Resource,
  key: string,
  deletion: Deletion,
  requestId?: string,
): Promise<Changed> {
  const admit: Admit = (request) => backend.admission.validate(request);
  return removeAdmitted(backend, call, resource, key, { ...deletion, requestId }, admit);
}

type Admit = (request: AdmissionRequest) => void | Promise<void>;

/** As `removeKey`, for a caller whose request was admitted as something else than a deletion. */
export function removeAdmitted(
  backend: Backend,
  call: Call,
  resource: Resource,
  key: string,
  deletion: Deletion & { readonly requestId?: string | undefined },
  admit?: Admit,
): Promise<Changed> {
  const { requestId } = deletion;
  const name = key.slice(key.lastIndexOf("/") + 1);
  const dryRun = dryRunOf(deletion);
  const about = { resource, key, name, dryRun, requestId };
  return change(backend, call, about, async (stored, admission) => {
    checkDeleted(resource, stored, deletion.preconditions ?? {});
    await admit?.(admission(undefined));
    return deletionOf(backend, resource, stored, deletion);
  });
}

/** Throws Conflict (apiserver `BeforeDelete`). */
function checkDeleted(
  resource: Resource,
  stored: StoredObject,
  { uid, resourceVersion }: Preconditions,
): void {
  const presentUid = stored.document.metadata?.uid;
  const kinds = { ...resource, plural: resource.kind };
  if (uid && uid !== presentUid) {
    const why =
      `the UID in the precondition (${uid}) does not match the UID in record (${presentUid}). ` +
      "The object might have been deleted and then recreated";
    throw conflict(kinds, stored.name, why);
  }
  if (resourceVersion && resourceVersion !== String(stored.revision)) {
    const why =
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ` +
      `ResourceVersion in record (${stored.revision}). The object might have been modified`;
    throw conflict(kinds, stored.name, why);
  }
}

/** Also used by evictions. Throws Invalid; BadRequest for a grace period beyond all times. */
export function checkDeletion(request: Deletion): void {
  const { gracePeriodSeconds: seconds = 0, propagationPolicy: policy } = request;
  const causes: FieldCause[] = [];
  if (policy && !policies.includes(policy)) {
    causes.push(notSupportedInOrder("propagationPolicy", policy, [...policies, "nil"]));
  }
  refuseOptions("DeleteOptions", [...causes, ...dryRunCauses(request.dryRun)]);
  if (seconds > graceSecondsMax) {
    throw badRequest(`gracePeriodSeconds is ${seconds}, must be at most ${graceSecondsMax}`);
  }
}

const policies = ["Foreground", "Background", "Orphan"];
const graceSecondsMax = 2 ** 31 - 1;

export function deleted(resource: Resource, object: StoredObject): Status {
  const { metadata } = object.document;
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Success",
    details: {
      name: object.name,
      ...(resource.group !== "" && { group: resource.group }),
      kind: resource.plural,
      ...(metadata?.uid !== undefined && { uid: metadata.uid }),
    },
  };
}

function deletionOf(
  backend: Backend,
  resource: Resource,
  stored: StoredObject,
  deletion: Deletion,
): Outcome {
  const next = stored.copy();
  const metadata = metadataOf(next);
  const finalizers = finalizersFor(resource, metadata.finalizers ?? [], deletion);
  const { gracePeriodSeconds: requested } = deletion;
  const begun = metadata.deletionTimestamp !== undefined;
  const present = metadata.deletionGracePeriodSeconds ?? 0;
  const wanted = resource.deletionGraceSeconds(stored.document, requested) ?? 0;
  // A second deletion may only shorten the grace period, and only if it says so.
  const shortens = begun && wanted < present && (requested !== undefined || wanted === 0);
  if (finalizers.length > 0) metadata.finalizers = finalizers;
  else delete metadata.finalizers;
  if (!begun) {
    metadata.deletionTimestamp = rfc3339Seconds(backend.now() + 1000 * wanted);
    metadata.deletionGracePeriodSeconds = wanted;
    if (countsGenerations(resource)) metadata.generation = (metadata.generation ?? 0) + 1;
  }
  if (shortens) shorten(metadata, wanted, backend.now());
  resource.prepareForDelete(next);
  if (isFinal(resource, next)) return { action: "delete" };
  const nothingNew =
    begun && !shortens && equalJson(finalizers, stored.document.metadata?.finalizers ?? []);
  return nothingNew ? { action: "keep" } : put(next);
}

/** Moves the end of a grace period back, but not into the past. */
function shorten(metadata: ObjectMeta, seconds: number, now: number): void {
  const { deletionTimestamp = "", deletionGracePeriodSeconds: present = 0 } = metadata;
  const end = Date.parse(deletionTimestamp) + 1000 * (seconds - present);
  metadata.deletionTimestamp = rfc3339Seconds(Math.max(end, now));
  // A grace period that is over before it is granted still leaves the last word to the kubelet.
  metadata.deletionGracePeriodSeconds = end < now && seconds !== 0 ? 1 : seconds;
}

function put(document: Document): Outcome {
  return { action: "put", document };
}

/** The garbage collector takes these off when it has dealt with the dependents. */
function finalizersFor(
  resource: Resource,
  present: readonly string[],
  deletion: Deletion,
): string[] {
  const others = present.filter((each) => each !== "orphan" && each !== "foregroundDeletion");
  const undecided = others.length === present.length;
  const policy = deletion.propagationPolicy || (undecided && resource.defaultPropagation);
  if (policy === "Orphan") return [...others, "orphan"];
  if (policy === "Foreground") return [...others, "foregroundDeletion"];
  if (policy === "Background") return others;
  return [...present];
}

/** As `removeSelected`, for callers that need no more than to know it done. */
export async function removeCollection(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: DeleteCollectionRequest,
): Promise<Status> {
  await removeSelected(backend, call, resource, request);
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" };
}

/**
 * Deletes what the selection holds now, one by one, and gives the list as it was before. Throws
 * MethodNotAllowed for resources that may not be deleted by the lot, BadRequest without a namespace
 * for resources that live in one.
 */
export async function removeSelected(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: DeleteCollectionRequest,
): Promise<ListPage> {
  const selected = request.selection ?? {};
  if (!resource.verbs.includes("deletecollection")) {
    throw methodNotAllowed(
      `${resource.plural} cannot be deleted as a collection: delete them by name`,
    );
  }
  const namespace = namespaceOf(resource, selected.namespace);
  const { fieldSelector } = selected;
  const target = { verb: "deletecollection", resource, namespace, fieldSelector };
  return run(backend, call, target, [canonicalJson(request)], async () => {
    checkDeletion(request);
    await waitForCache(backend, resource, undefined);
    const selection = createSelection(resource, { ...selected, namespace });
    const cache = backend.cache.of(resource);
    if (resource.storedAs?.remote !== undefined && selection.readsFields) {
      await convertAll([...cache.select({ ...selection, filtered: false })]);
    }
    const objects = [...cache.select(selection)];
    const metadata = { resourceVersion: String(backend.cache.revision) };
    await convertAll(objects);
    const pending = objects.values();
    const worker = async () => {
      for (const object of pending) await removeOne(backend, call, object, request);
    };
    await Promise.all(Array.from({ length: limits.deleteCollectionParallel }, worker));
    return { metadata, items: objects, release: () => {} };
  });
}

async function removeOne(
  backend: Backend,
  call: Call,
  object: StoredObject,
  request: DeleteCollectionRequest,
): Promise<void> {
  const { uid } = object.document.metadata ?? {};
  const deletion = { ...request, preconditions: uid === undefined ? {} : { uid } };
  const requestId = call.requestId && derivedId(call.requestId, object.key);
  try {
    await removeKey(backend, call, object.resource, object.key, deletion, requestId);
  } catch (thrown) {
    const { code } = StatusError.from(thrown);
    // Gone, or another of the same name by now: either way what was selected is deleted.
    if (code !== Code.notFound && code !== Code.aborted) throw thrown;
  }
}

function derivedId(requestId: string, key: string): string {
  return `${requestId}:${createHash("sha256").update(key).digest("hex").slice(0, 10)}`;
}
