/** What profiles are made of: operations that know no wire, and the objects that they are about. */

/** Objects that a load makes; etcd has only what is a key and a value (ConfigMaps). */
export type ObjectKind = "configmaps" | "pods" | "leases";

export type Verb = "create" | "get" | "update" | "patch" | "delete" | "list";

/**
 * Whose name the operation takes: `new`, one that nothing has yet; `filled`, one of those made
 * beforehand, in turn; `made`, the one that the same client made last.
 */
export type Naming = "new" | "filled" | "made";

export interface Operation {
  readonly verb: Verb;
  readonly kind: ObjectKind;
  readonly naming: Naming;
  /** Most objects of a list; absent: all. */
  readonly limit?: number;
}

/** Objects of one run are told from all others by its namespace, or the beginning of its keys. */
export interface Place {
  readonly namespace: string;
  /** Before each object's number; no other text of the run contains it. */
  readonly prefix: string;
}

const valueBytes = 256;

/**
 * The object as JSON, with places for numbers in the name and, where `stamped`, in its content. A
 * pod is of 2 KB and for a scheduler that does not exist, so that it stays as it is.
 */
export function objectOf(kind: ObjectKind, { namespace }: Place, name: string, stamp: string) {
  const metadata = { name, namespace, labels: { app: "load" } };
  switch (kind) {
    case "configmaps": {
      const value = stamp.padEnd(valueBytes, "v");
      return { apiVersion: "v1", kind: "ConfigMap", metadata, data: { value } };
    }
    case "leases": {
      const spec = { holderIdentity: `node-${stamp}`, leaseDurationSeconds: 40 };
      return { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec };
    }
    case "pods": {
      const env = Array.from({ length: 20 }, (_, n) => {
        return { name: `VARIABLE_${n}`, value: "v".repeat(70) };
      });
      const requests = { cpu: "10m", memory: "16Mi" };
      const resources = { requests, limits: { memory: "64Mi" } };
      const container = { name: "app", image: "node", command: ["node", "-e", "0"] };
      const containers = [{ ...container, env, resources }];
      const spec = { schedulerName: "none", automountServiceAccountToken: false, containers };
      return { apiVersion: "v1", kind: "Pod", metadata, spec };
    }
  }
}

/** What a merge patch of the object says: its content, with another number each time. */
export function patchOf(kind: ObjectKind, place: Place, stamp: string): object {
  const { apiVersion: _, kind: __, metadata: ___, ...content } = objectOf(kind, place, "", stamp);
  return content;
}

export const mergePatch = "application/merge-patch+json";
