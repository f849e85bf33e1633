/** Owner references: which controller made an object, and how one adopts objects without any. */
import type { ObjectMeta, OwnerReference } from "../../proto/gen/meta.ts";
import type { ApiObject } from "../client/mod.ts";

export function controllerOf(object: ApiObject): OwnerReference | undefined {
  return object.metadata?.ownerReferences?.find(({ controller }) => controller);
}

export function controllerReference(
  owner: ApiObject,
  apiVersion: string,
  kind: string,
): OwnerReference {
  return {
    apiVersion,
    kind,
    name: owner.metadata?.name,
    uid: owner.metadata?.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

export interface Claim<T extends ApiObject> {
  readonly candidates: readonly T[];
  readonly owner: ApiObject;
  readonly reference: OwnerReference;
  readonly matches: (object: T) => boolean;
  /** False when the owner in the API is another than the cached one, or is being deleted. */
  readonly mayAdopt: () => Promise<boolean>;
  /** Writes the object with other owner references. */
  readonly write: (object: T) => Promise<T>;
}

/**
 * What belongs to the owner: its own that match, and matching ones without a controller, which it
 * adopts. Its own that match no longer are released (client-go `ControllerRefManager`).
 */
export async function claim<T extends ApiObject>(options: Claim<T>): Promise<T[]> {
  const { candidates, owner, reference, matches, mayAdopt, write } = options;
  const { uid, deletionTimestamp } = owner.metadata ?? {};
  const claimed: T[] = [];
  let permitted: boolean | undefined;
  for (const object of candidates) {
    const controller = controllerOf(object);
    if (controller) {
      if (controller.uid !== uid) continue;
      if (matches(object)) claimed.push(object);
      else if (!deletionTimestamp) await write(withOwners(object, others(object, uid)));
      continue;
    }
    if (deletionTimestamp || object.metadata?.deletionTimestamp || !matches(object)) continue;
    permitted ??= await mayAdopt();
    if (!permitted) continue;
    claimed.push(await write(withOwners(object, [...others(object, uid), reference])));
  }
  return claimed;
}

function others(object: ApiObject, uid: string | undefined): OwnerReference[] {
  return (object.metadata?.ownerReferences ?? []).filter((owner) => owner.uid !== uid);
}

function withOwners<T extends ApiObject>(object: T, ownerReferences: OwnerReference[]): T {
  const metadata: ObjectMeta = { ...object.metadata, ownerReferences };
  return { ...object, metadata };
}
