import type { Store } from "../../../ha/store/types.ts";
import { keyBytes, prefixEnd, serviceNodePortKeys } from "../storage/keys.ts";

/**
 * The node ports that have a key in the store. This member may lag behind; the transaction that
 * takes a port finds out.
 */
export async function nodePortsInUse(store: Store): Promise<ReadonlySet<number>> {
  const { prefix, portOf } = serviceNodePortKeys;
  const range = { key: keyBytes(prefix), rangeEnd: prefixEnd(prefix), keysOnly: true };
  const { kvs } = await store.range(range, { serializable: true });
  return new Set(kvs.map(({ key }) => portOf(key)));
}
