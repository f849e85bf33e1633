import type { KeyValue, Revision, Store } from "../../../ha/store/types.ts";
import type { Resource } from "../../kinds/mod.ts";
import { keyBytes } from "./keys.ts";
import { StoredObject } from "./stored-object.ts";

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
  return storedObject(resource, key, kvs[0]);
}

export function storedObject(
  resource: Resource,
  key: string,
  kv: KeyValue | undefined,
): StoredObject | undefined {
  return kv && new StoredObject(resource, key, kv.value, kv.modRevision);
}
