import type { Compare, Operation } from "../../../ha/store/types.ts";
import { type Document, type Resource, storageOf } from "../../kinds/mod.ts";
import type { AdmissionRequest } from "../admission/chain.ts";
import { conflict, notFound, tooLarge } from "../errors.ts";
import { limits } from "../limits.ts";
import { fetchObject, ready, storedAt, storedObject, writtenAt } from "../storage/fetch.ts";
import { keyBytes, partsOf } from "../storage/keys.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import { encodeStored } from "../storage/stored-text.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { commit, commitExpected, goApart, recall, WriteId } from "./commit.ts";
import { managerOf } from "./managed-fields.ts";
import { leaseOf } from "./time-to-live.ts";

/** What a verb wants to become of a stored object. */
export type Outcome =
  | { readonly action: "keep" }
  | { readonly action: "put"; readonly document: Document }
  /** `document`: what an update made of the object whose last hold it took away. */
  | { readonly action: "delete"; readonly document?: Document };

export interface ChangeRequest {
  readonly resource: Resource;
  readonly key: string;
  readonly name: string;
  readonly dryRun: boolean;
  readonly subresource?: string | undefined;
  /** Who manages the fields that change; absent: what the caller's program calls itself. */
  readonly manager?: string | undefined;
  /** Overrides the call's request id, for calls that write several objects. */
  readonly requestId?: string | undefined;
}

export interface Changed {
  readonly action: "keep" | "put" | "delete";
  /** After a deletion: the last state, with the deletion's revision. */
  readonly object: StoredObject;
}

/** Decides on what the store holds; told the request as the admission chain sees it. */
export type Decide = (
  stored: StoredObject,
  admission: (document: Document | undefined) => AdmissionRequest,
) => Outcome | Promise<Outcome>;

/**
 * Reads, decides and writes one object, if nothing changed it in between; otherwise decides again on
 * what is there now. It starts from the watch cache, which may lag: whatever would end the request
 * there (an error, or nothing to do) is decided anew on what the store has.
 *
 * A request id makes it answer as it first did: whatever a repeat finds wrong, or already done, may
 * be the work of the first, so the store is asked whether there was one before that is the answer.
 */
export async function change(
  backend: Backend,
  call: Call,
  request: ChangeRequest,
  decide: Decide,
): Promise<Changed> {
  const requestId = request.requestId ?? call.requestId;
  let changed: Changed;
  try {
    changed = await attempts(backend, call, request, new WriteId(requestId), decide);
  } catch (thrown) {
    const revision = await recall(backend, call, requestId, thrown);
    if (revision === undefined) throw thrown;
    const changed = await recalled(backend, request, revision);
    return answeredAgain(backend, call, request, decide, changed);
  }
  if (changed.action !== "keep") return changed;
  const revision = await recall(backend, call, requestId);
  return revision === undefined ? changed : recalled(backend, request, revision);
}

async function attempts(
  backend: Backend,
  call: Call,
  request: ChangeRequest,
  id: WriteId,
  decide: Decide,
): Promise<Changed> {
  const { resource, key, name } = request;
  const notes = new Map<string, unknown>();
  let admission: AdmissionRequest | undefined;
  let stored = await ready(backend.cache.of(resource).get(key)?.as(resource));
  let fresh = false;
  for (let attempt = 0; attempt < limits.updateAttempts; ) {
    let outcome: Outcome | undefined;
    if (stored !== undefined) {
      const present = stored;
      const seen = (document: Document | undefined): AdmissionRequest => {
        admission = admissionRequest(call, request, present, document, notes);
        return admission;
      };
      try {
        outcome = await decide(present, seen);
      } catch (thrown) {
        if (fresh) throw thrown;
      }
    }
    if (!fresh && (outcome === undefined || outcome.action === "keep")) {
      stored = await fetchObject(backend, resource, key);
      fresh = true;
      continue;
    }
    if (stored === undefined || outcome === undefined) throw notFound(resource, name);
    // As upstream: an update that changes nothing is how a new key comes to all objects.
    if (outcome.action === "keep" && !request.dryRun && backend.encryption?.isStale(stored)) {
      outcome = { action: "put", document: stored.copy() };
    }
    if (outcome.action === "keep") return { action: "keep", object: stored };
    if (request.dryRun) return dryRun(resource, stored, outcome);
    const document = outcome.action === "put" ? outcome.document : undefined;
    const about = admissionRequest(call, request, stored, document, notes);
    const written = await write(backend, call, request, id, stored, about);
    if (written.changed !== undefined) return withLast(resource, written.changed, outcome);
    stored = written.present;
    fresh = true;
    attempt += 1;
    if (attempt >= limits.eagerAttempts) await goApart(backend, call);
  }
  throw conflict(resource, name);
}

/**
 * The first answer, to a repeated request. What an update made of an object that it ended is stored
 * nowhere, so it is decided again: it differs in the times of its managedFields.
 */
async function answeredAgain(
  backend: Backend,
  call: Call,
  request: ChangeRequest,
  decide: Decide,
  changed: Changed,
): Promise<Changed> {
  if (changed.action !== "delete") return changed;
  const { resource, key } = request;
  const before = await fetchObject(backend, resource, key, changed.object.revision - 1);
  if (before === undefined) return changed;
  const notes = new Map<string, unknown>();
  try {
    const outcome = await decide(before, (document) =>
      admissionRequest(call, request, before, document, notes),
    );
    return await withLast(request.resource, changed, outcome);
  } catch {
    // What refuses it now did not then; the object as it was before is the nearest answer.
    return changed;
  }
}

/** A client that updates an object for the last time is answered with its update. */
async function withLast(resource: Resource, changed: Changed, outcome: Outcome): Promise<Changed> {
  if (outcome.action !== "delete" || outcome.document === undefined) return changed;
  const { key, revision } = changed.object;
  const value = await encodeChecked(resource, outcome.document);
  return { action: "delete", object: await ready(storedAt(resource, key, value, revision)) };
}

function admissionRequest(
  call: Call,
  request: ChangeRequest,
  stored: StoredObject,
  document: Document | undefined,
  notes: Map<string, unknown>,
): AdmissionRequest {
  const { resource, key, name, dryRun, subresource = "", manager } = request;
  return {
    user: call.user,
    manager: manager ?? managerOf(call, undefined),
    operation: document === undefined ? "delete" : "update",
    resource,
    subresource,
    namespace: partsOf(resource, key).namespace,
    name,
    document,
    stored: stored.document,
    dryRun,
    warnings: call.warnings,
    annotate: call.audit?.annotate,
    traced: call,
    notes,
  };
}

async function dryRun(
  resource: Resource,
  stored: StoredObject,
  outcome: Outcome,
): Promise<Changed> {
  if (outcome.action !== "put") {
    return withLast(resource, { action: "delete", object: stored }, outcome);
  }
  const value = await encodeChecked(resource, outcome.document);
  const object = await ready(storedAt(resource, stored.key, value, stored.revision));
  return { action: "put", object };
}

async function write(
  backend: Backend,
  call: Call,
  request: ChangeRequest,
  id: WriteId,
  stored: StoredObject,
  admission: AdmissionRequest,
): Promise<{ changed?: Changed; present?: StoredObject | undefined }> {
  const { resource, key } = request;
  const { document } = admission;
  const companions = backend.admission.companions(admission);
  const value = document && (await encodeChecked(resource, document));
  const operation: Operation =
    value === undefined
      ? { op: "delete", key: keyBytes(key) }
      : { op: "put", key: keyBytes(key), value, lease: await leaseOf(backend, resource) };
  const transaction = {
    compares: [unchanged(stored), ...companions.compares],
    success: [operation, ...companions.operations],
    reads: [key, ...companions.reads],
  };
  const result = await (value === undefined || document === undefined
    ? commit(backend, call, transaction, id)
    : commitExpected(backend, call, { resource, key, value, document }, id, transaction));
  if (!result.committed) {
    const present = await ready(storedObject(resource, key, result.found.get(key)));
    const refused = present?.revision === stored.revision && companions.explain?.(result.found);
    if (refused) throw refused;
    return { present };
  }
  if (result.replayed) return { changed: await recalled(backend, request, result.revision) };
  if (value === undefined || document === undefined) {
    return { changed: { action: "delete", object: stored.at(result.revision) } };
  }
  const { revision } = result;
  const cache = backend.cache.of(resource);
  const object = await writtenAt(cache, resource, key, { value, document, revision });
  return { changed: { action: "put", object } };
}

function unchanged(stored: StoredObject): Compare {
  return {
    key: keyBytes(stored.key),
    target: "mod",
    operator: "=",
    operand: stored.revision,
  };
}

/** The object as the write at `revision` left it. */
export async function recalled(
  backend: Backend,
  request: Pick<ChangeRequest, "resource" | "key" | "name">,
  revision: number,
): Promise<Changed> {
  const { resource, key, name } = request;
  await backend.cache.waitFor(revision);
  const object = await fetchObject(backend, resource, key, revision);
  if (object !== undefined) return { action: "put", object };
  const last = await fetchObject(backend, resource, key, revision - 1);
  if (last === undefined) throw notFound(resource, name);
  return { action: "delete", object: last.at(revision) };
}

/** As the document is stored; it may be changed. Throws RequestEntityTooLarge. */
export async function encodeChecked(resource: Resource, document: Document): Promise<Buffer> {
  const { storedAs } = resource;
  let stored = document;
  if (storedAs?.remote !== undefined) stored = await storedAs.remote.toStored(document);
  else if (storedAs !== undefined) stored = storedAs.toStored(structuredClone(document));
  const value = encodeStored(storageOf(resource), stored);
  if (value.length > limits.objectBytes) throw tooLarge(value.length, limits.objectBytes);
  return value;
}
