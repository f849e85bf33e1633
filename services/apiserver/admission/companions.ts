import type { Compare, Operation } from "../../../ha/store/types.ts";
import type { Document, Kind } from "../../kinds/mod.ts";
import { fenceKey, keyBytes, serviceAddressKey } from "../storage/keys.ts";
import { addressesOf } from "./service-addresses.ts";

/** What else a write of one object must check and change in the same transaction. */
export interface Companions {
  readonly compares: readonly Compare[];
  readonly operations: readonly Operation[];
  /** Keys whose presence explains a failed compare. */
  readonly reads: readonly string[];
}

const none: Companions = { compares: [], operations: [], reads: [] };

/** `stored` undefined: a creation; `next` undefined: a deletion. */
export function companionsOf(
  kind: Kind,
  stored: Document | undefined,
  next: Document | undefined,
): Companions {
  if (kind.kind === "Lease" && kind.group === "coordination.k8s.io") return fenceOf(stored, next);
  if (kind.kind === "Service" && kind.group === "") return allocations(stored, next);
  return none;
}

/** A new holder moves the fence, so that writes of the former one are refused. */
function fenceOf(stored: Document | undefined, next: Document | undefined): Companions {
  const holder = holderOf(next);
  const { name, namespace } = next?.metadata ?? {};
  if (holder === "" || holder === holderOf(stored) || !name || !namespace) return none;
  const put = { op: "put", key: keyBytes(fenceKey(namespace, name)), value: Buffer.from(holder) };
  return { ...none, operations: [put as Operation] };
}

function holderOf(lease: Document | undefined): string {
  const spec = lease?.["spec"] as { holderIdentity?: string } | undefined;
  return spec?.holderIdentity ?? "";
}

/** Addresses are unique because each has a key that only one service can create. */
function allocations(stored: Document | undefined, next: Document | undefined): Companions {
  const before = addressesOf(stored);
  const after = addressesOf(next);
  const taken = after.filter((address) => !before.includes(address)).map(serviceAddressKey);
  const freed = before.filter((address) => !after.includes(address)).map(serviceAddressKey);
  const owner = `${next?.metadata?.namespace}/${next?.metadata?.name}`;
  return {
    compares: taken.map((key) => ({
      key: keyBytes(key),
      target: "version",
      operator: "=",
      operand: 0,
    })),
    operations: [
      ...taken.map((key): Operation => {
        return { op: "put", key: keyBytes(key), value: Buffer.from(owner) };
      }),
      ...freed.map((key): Operation => ({ op: "delete", key: keyBytes(key) })),
    ],
    reads: taken,
  };
}
