import type { KeyValue, Revision } from "../../../ha/store/types.ts";
import type { Resource } from "../../kinds/mod.ts";
import { badRequest } from "../errors.ts";
import { keyBytes } from "../storage/keys.ts";
import { StoredObject } from "../storage/stored-object.ts";
import type { Backend } from "./backend.ts";

/** The object as the store has it now (linearizable), or had it at a revision. */
export async function fetchObject(
  backend: Pick<Backend, "store">,
  resource: Resource,
  key: string,
  revision?: number,
): Promise<StoredObject | undefined> {
  const request = { key: keyBytes(key) };
  const { kvs } = await backend.store.range(
    revision === undefined ? request : { ...request, revision: revision as Revision },
    // A revision that is given has been applied here already, so any member has the same answer.
    { serializable: revision !== undefined },
  );
  return storedObject(resource, key, kvs[0]);
}

export function storedObject(
  resource: Resource,
  key: string,
  kv: KeyValue | undefined,
): StoredObject | undefined {
  return kv && new StoredObject(resource, key, kv.value, kv.modRevision);
}

/** A resourceVersion as a number; undefined for "" and absent. Throws BadRequest. */
export function parseResourceVersion(text: string | undefined, field: string): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (!/^\d{1,15}$/.test(text)) {
    throw badRequest(`${field}: "${text}" is not a resource version`);
  }
  return Number(text);
}

/**
 * Waits until the cache is as new as a read demands: everything acknowledged so far (undefined),
 * anything at all (0), or at least `version`.
 */
export async function waitForCache(
  backend: Backend,
  resource: Resource,
  version: number | undefined,
): Promise<void> {
  const opening = backend.cache.opening(resource);
  if (opening !== undefined) await opening;
  if (version === 0 && backend.cache.filled) return;
  const revision = version ?? (await backend.store.readRevision());
  await backend.cache.waitFor(revision);
}
