import type { Compare, Operation } from "../../../ha/store/types.ts";
import type { Document, Kind } from "../../kinds/mod.ts";
import { companionsOf } from "../admission/companions.ts";
import { notAllocated } from "../admission/service-addresses.ts";
import { conflict, invalid, notFound, tooLarge } from "../errors.ts";
import { limits } from "../limits.ts";
import { keyBytes, serviceAddressKey } from "../storage/keys.ts";
import { encodeStored, StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { type CommitResult, commit, recallAfter, WriteId } from "./commit.ts";
import { fetchObject, storedObject } from "./fetch.ts";

/** What a verb wants to become of a stored object. */
export type Outcome =
  | { readonly action: "keep" }
  | { readonly action: "put"; readonly document: Document }
  | { readonly action: "delete" };

export interface ChangeRequest {
  readonly kind: Kind;
  readonly key: string;
  readonly name: string;
  readonly dryRun: boolean;
  /** Overrides the call's request id, for calls that write several objects. */
  readonly requestId?: string | undefined;
}

export interface Changed {
  readonly action: "keep" | "put" | "delete";
  /** After a deletion: the last state, with the deletion's revision. */
  readonly object: StoredObject;
}

/**
 * Reads, decides and writes one object, if nobody changed it in between; otherwise decides again on
 * what is there now. It starts from the watch cache, which may lag: whatever would end the request
 * there (an error, or nothing to do) is decided anew on what the store has.
 */
export async function change(
  backend: Backend,
  call: Call,
  request: ChangeRequest,
  decide: (stored: StoredObject) => Outcome,
): Promise<Changed> {
  const requestId = request.requestId ?? call.requestId;
  try {
    return await attempts(backend, call, request, new WriteId(requestId), decide);
  } catch (thrown) {
    const revision = await recallAfter(backend, call, requestId, thrown);
    return recalled(backend, request, revision);
  }
}

async function attempts(
  backend: Backend,
  call: Call,
  request: ChangeRequest,
  id: WriteId,
  decide: (stored: StoredObject) => Outcome,
): Promise<Changed> {
  const { kind, key, name } = request;
  let stored = backend.cache.of(kind).get(key);
  let fresh = false;
  for (let attempt = 0; attempt < limits.updateAttempts; ) {
    let outcome: Outcome | undefined;
    if (stored !== undefined) {
      try {
        outcome = decide(stored);
      } catch (thrown) {
        if (fresh) throw thrown;
      }
    }
    if (!fresh && (outcome === undefined || outcome.action === "keep")) {
      stored = await fetchObject(backend, kind, key);
      fresh = true;
      continue;
    }
    if (stored === undefined || outcome === undefined) throw notFound(kind, name);
    if (outcome.action === "keep") return { action: "keep", object: stored };
    if (request.dryRun) return dryRun(kind, stored, outcome);
    const written = await write(backend, call, request, id, stored, outcome);
    if (written.changed !== undefined) return written.changed;
    stored = written.present;
    fresh = true;
    attempt += 1;
  }
  throw conflict(kind, name);
}

function dryRun(kind: Kind, stored: StoredObject, outcome: Outcome): Changed {
  if (outcome.action !== "put") return { action: "delete", object: stored };
  const value = encodeChecked(kind, outcome.document);
  return { action: "put", object: new StoredObject(kind, stored.key, value, stored.revision) };
}

async function write(
  backend: Backend,
  call: Call,
  request: ChangeRequest,
  id: WriteId,
  stored: StoredObject,
  outcome: Exclude<Outcome, { action: "keep" }>,
): Promise<{ changed?: Changed; present?: StoredObject | undefined }> {
  const { kind, key } = request;
  const next = outcome.action === "put" ? outcome.document : undefined;
  const companions = companionsOf(kind, stored.document, next);
  const value = next && encodeChecked(kind, next);
  const operation: Operation =
    value === undefined
      ? { op: "delete", key: keyBytes(key) }
      : { op: "put", key: keyBytes(key), value };
  const result = await commit(
    backend,
    call,
    {
      compares: [unchanged(stored), ...companions.compares],
      success: [operation, ...companions.operations],
      reads: [key, ...companions.reads],
    },
    id,
  );
  if (!result.committed) {
    const present = storedObject(kind, key, result.found.get(key));
    if (present?.revision === stored.revision) throw companionTaken(kind, request.name, result);
    return { present };
  }
  if (result.replayed) return { changed: await recalled(backend, request, result.revision) };
  if (value === undefined) {
    return { changed: { action: "delete", object: stored.at(result.revision) } };
  }
  const object = new StoredObject(kind, key, value, result.revision);
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

/** The object did not change, so one of the addresses it asked for is another's. */
function companionTaken(kind: Kind, name: string, result: CommitResult & { committed: false }) {
  for (const [key, kv] of result.found) {
    const address = key.slice(serviceAddressKey("").length);
    if (kv !== undefined && key === serviceAddressKey(address)) {
      return invalid(kind, name, [notAllocated(address, "provided IP is already allocated")]);
    }
  }
  return conflict(kind, name);
}

/** The object as the write at `revision` left it. */
export async function recalled(
  backend: Backend,
  request: Pick<ChangeRequest, "kind" | "key" | "name">,
  revision: number,
): Promise<Changed> {
  const { kind, key, name } = request;
  await backend.cache.waitFor(revision);
  const object = await fetchObject(backend, kind, key, revision);
  if (object !== undefined) return { action: "put", object };
  const last = await fetchObject(backend, kind, key, revision - 1);
  if (last === undefined) throw notFound(kind, name);
  return { action: "delete", object: last.at(revision) };
}

/** Throws RequestEntityTooLarge. */
export function encodeChecked(kind: Kind, document: Document): Buffer {
  const value = encodeStored(kind, document);
  if (value.length > limits.objectBytes) throw tooLarge(value.length, limits.objectBytes);
  return value;
}
