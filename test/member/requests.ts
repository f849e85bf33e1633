import type { Store, TxnRequest } from "../../ha/store/mod.ts";

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const decoder = new TextDecoder();

export function put(key: string, value: string | Uint8Array, lease?: bigint): TxnRequest {
  const content = typeof value === "string" ? bytes(value) : value;
  const operation = { op: "put", key: bytes(key), value: content, lease } as const;
  return { compares: [], success: [operation], failure: [] };
}

export function remove(key: string): TxnRequest {
  return { compares: [], success: [{ op: "delete", key: bytes(key) }], failure: [] };
}

export async function textAt(store: Store, key: string): Promise<string | undefined> {
  const { kvs } = await store.range({ key: bytes(key) });
  return kvs[0] && decoder.decode(kvs[0].value);
}
