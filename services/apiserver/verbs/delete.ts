import { createHash } from "node:crypto";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type {
  DeleteCollectionRequest,
  DeleteRequest,
  Preconditions,
  Status,
} from "../../../proto/gen/meta.ts";
import { type Document, type Resource, rfc3339Seconds } from "../../kinds/mod.ts";
import { badRequest, methodNotAllowed } from "../errors.ts";
import { limits } from "../limits.ts";
import { objectKey } from "../storage/keys.ts";
import { createSelection } from "../storage/selection.ts";
import { convertAll, type StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { type Changed, change, type Outcome } from "./change.ts";
import { countsGenerations, dryRunOf, metadataOf } from "./documents.ts";
import { nameOf, namespaceOf, run } from "./pipeline.ts";
import { waitForCache } from "./resource-version.ts";
import { checkPreconditions, isFinal } from "./update.ts";

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
  return run(backend, call, target, [JSON.stringify(request)], async () => {
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
  const name = key.slice(key.lastIndexOf("/") + 1);
  const dryRun = dryRunOf(deletion);
  const about = { resource, key, name, dryRun, requestId };
  return change(backend, call, about, async (stored, admission) => {
    checkPreconditions(resource, stored, deletion.preconditions ?? {});
    await backend.admission.validate(admission(undefined));
    return deletionOf(backend, resource, stored, deletion);
  });
}

/** Also used by evictions. Throws BadRequest. */
export function checkDeletion(request: Deletion): void {
  const { gracePeriodSeconds: seconds, propagationPolicy: policy } = request;
  if (seconds !== undefined && (seconds < 0 || seconds > graceSecondsMax)) {
    throw badRequest(`gracePeriodSeconds is ${seconds}, must be 0 to ${graceSecondsMax}`);
  }
  if (policy && !policies.includes(policy)) {
    throw badRequest(`propagationPolicy is "${policy}", must be one of ${policies.join(", ")}`);
  }
  dryRunOf(request);
}

const policies = ["Background", "Foreground", "Orphan"];
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
  const wanted = resource.deletionGraceSeconds(stored.document, deletion.gracePeriodSeconds) ?? 0;
  const begun = metadata.deletionTimestamp !== undefined;
  const present = metadata.deletionGracePeriodSeconds ?? 0;
  // A second deletion may only shorten the grace period.
  const grace = begun ? Math.min(wanted, present) : wanted;
  if (finalizers.length > 0) metadata.finalizers = finalizers;
  if (!begun || grace < present) {
    metadata.deletionTimestamp = rfc3339Seconds(backend.now() + 1000 * grace);
    metadata.deletionGracePeriodSeconds = grace;
    if (countsGenerations(resource)) metadata.generation = (metadata.generation ?? 0) + 1;
  }
  resource.prepareForDelete(next);
  if (isFinal(resource, next)) return { action: "delete" };
  const nothingNew =
    begun &&
    grace >= present &&
    finalizers.length === (stored.document.metadata?.finalizers ?? []).length;
  return nothingNew ? { action: "keep" } : put(next);
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

/**
 * Deletes what the selection holds now, one by one. Throws MethodNotAllowed for resources that may
 * not be deleted by the lot, BadRequest without a namespace for resources that live in one.
 */
export async function removeCollection(
  backend: Backend,
  call: Call,
  resource: Resource,
  request: DeleteCollectionRequest,
): Promise<Status> {
  const selected = request.selection ?? {};
  if (!resource.verbs.includes("deletecollection")) {
    throw methodNotAllowed(
      `${resource.plural} cannot be deleted as a collection: delete them by name`,
    );
  }
  const namespace = namespaceOf(resource, selected.namespace);
  const { fieldSelector } = selected;
  const target = { verb: "deletecollection", resource, namespace, fieldSelector };
  return run(backend, call, target, [JSON.stringify(request)], async () => {
    checkDeletion(request);
    await waitForCache(backend, resource, undefined);
    const selection = createSelection(resource, { ...selected, namespace });
    const cache = backend.cache.of(resource);
    if (resource.storedAs?.remote !== undefined && selection.readsFields) {
      await convertAll([...cache.select({ ...selection, filtered: false })]);
    }
    const objects = [...cache.select(selection)];
    await convertAll(objects);
    const pending = objects.values();
    const worker = async () => {
      for (const object of pending) await removeOne(backend, call, object, request);
    };
    await Promise.all(Array.from({ length: limits.deleteCollectionParallel }, worker));
    return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" };
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
