import type { KeyValue, Revision, Store } from "../../../ha/store/types.ts";
import { type Document, type Resource, storageOf } from "../../kinds/mod.ts";
import { keyBytes } from "./keys.ts";
import type { KindCache } from "./kind-cache.ts";
import { convertAll, StoredObject } from "./stored-object.ts";

/** The object as the store has it now (linearizable), or had it at a revision. */
export async function fetchObject(
  { store }: { readonly store: Store },
  resource: Resource,
  key: string,
  revision?: number,
): Promise<StoredObject | undefined> {
  const request = { key: keyBytes(key) };
  const { kvs } = await store.range(
    revision === undefined ? request : { ...request, revision: revision as Revision },
    // A revision that is given has been applied here already, so any member has the same answer.
    { serializable: revision !== undefined },
  );
  return ready(storedObject(resource, key, kvs[0]));
}

/** The object, once its form is there. */
export function ready<T extends StoredObject | undefined>(object: T): T | Promise<T> {
  if (object === undefined || object.ready) return object;
  return convertAll([object]).then(() => object);
}

export function storedObject(
  resource: Resource,
  key: string,
  kv: KeyValue | undefined,
): StoredObject | undefined {
  return kv && storedAt(resource, key, kv.value, kv.modRevision);
}

/** What the store has under a key of the resource, in the form of the resource. */
export function storedAt(
  resource: Resource,
  key: string,
  value: Uint8Array,
  revision: number,
): StoredObject {
  return new StoredObject(storageOf(resource), key, value, revision).as(resource);
}

/**
 * The object that has just been written: the cache's, if it has it already, so that each of its forms
 * is made once. Otherwise its document need not be read from its text again, unless the resource is
 * stored in another form.
 */
export function writtenAt(
  cache: KindCache,
  resource: Resource,
  key: string,
  write: { readonly value: Uint8Array; readonly document: Document; readonly revision: number },
): StoredObject | Promise<StoredObject> {
  const { value, document, revision } = write;
  const cached = cache.get(key);
  if (cached?.revision === revision) return ready(cached.as(resource));
  const object = storedAt(resource, key, value, revision);
  return storageOf(resource) === resource ? object.written(document) : ready(object);
}
