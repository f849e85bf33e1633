/** What has become of the owner that a reference names. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { OwnerReference } from "../../../proto/gen/meta.ts";
import type { ApiObject, ServedKind } from "../../client/mod.ts";
import type { ControllerContext } from "../types.ts";
import { foregroundFinalizer, type Graph, type GraphNode, isForeground, names } from "./graph.ts";
import type { ServedKinds } from "./served-kinds.ts";

/**
 * - `exists`: the owner is there;
 * - `waiting`: it is under deletion in the foreground, and waits for its dependents;
 * - `absent`: the API has no such object;
 * - `unknown`: its kind is not served, or a cluster-scoped object names a namespaced owner. Nothing
 *   can be said of it, so the dependent stays.
 */
export type OwnerState = "exists" | "waiting" | "absent" | "unknown";

/** Absent owners that are remembered. A uid is never used again, so this only saves questions. */
const absentMax = 1_000;

export class OwnerStates {
  readonly #context: ControllerContext;
  readonly #graph: Graph;
  readonly #kinds: ServedKinds;
  /**
   * By all coordinates. By the uid alone, one wrong reference to a living owner would make its
   * rightful dependents look abandoned.
   */
  readonly #absent = new Set<string>();

  constructor(context: ControllerContext, graph: Graph, kinds: ServedKinds) {
    this.#context = context;
    this.#graph = graph;
    this.#kinds = kinds;
  }

  /** Asks the API where the graph does not know the owner. Rejects when it cannot be asked. */
  async of(reference: OwnerReference, dependent: GraphNode): Promise<OwnerState> {
    const { namespace } = dependent.metadata;
    const { name = "", uid = "" } = reference;
    const served = this.#kinds.of(reference);
    if (!served) return "unknown";
    if (served.namespaced && !namespace) {
      this.#report(dependent, reference);
      return "unknown";
    }
    const owner = this.#graph.get(uid);
    if (owner && names(reference, namespace, owner)) {
      return isForeground(owner) ? "waiting" : "exists";
    }
    const where = served.namespaced ? namespace : undefined;
    const coordinates = JSON.stringify([served.group ?? "", served.kind, where ?? "", name, uid]);
    if (!this.#absent.has(coordinates)) {
      const found = await this.#read(served, name, where);
      if (found?.metadata?.uid === uid) return stateOf(found);
      this.#remember(coordinates);
    }
    if (owner?.metadata.namespace && owner.metadata.namespace !== namespace) {
      this.#report(dependent, reference);
    }
    return "absent";
  }

  async #read(
    { group, version = "", kind, plural }: ServedKind,
    name: string,
    namespace: string | undefined,
  ): Promise<ApiObject | undefined> {
    const { client, signal } = this.#context;
    const ref = { apiVersion: group ? `${group}/${version}` : version, kind, resource: plural };
    try {
      return await client.dynamic.get(ref, name, namespace, { signal });
    } catch (error) {
      if (isAbsent(error, name)) return undefined;
      throw error;
    }
  }

  #remember(coordinates: string): void {
    this.#absent.add(coordinates);
    if (this.#absent.size <= absentMax) return;
    for (const oldest of this.#absent) {
      this.#absent.delete(oldest);
      return;
    }
  }

  #report({ served, metadata }: GraphNode, reference: OwnerReference): void {
    const { apiVersion = "", kind = "", name = "", uid = "" } = reference;
    const { namespace = "" } = metadata;
    const version = served.version ?? "";
    const about = {
      apiVersion: served.group ? `${served.group}/${version}` : version,
      kind: served.kind,
      metadata,
    };
    const owner = `[${apiVersion}/${kind}, namespace: ${namespace}, name: ${name}, uid: ${uid}]`;
    const text = `ownerRef ${owner} does not exist in namespace "${namespace}"`;
    this.#context.recorder.event(about, "Warning", "OwnerRefInvalidNamespace", text);
  }
}

/** The object is not there. That its kind is not served, on this master, says nothing of it. */
function isAbsent(error: unknown, name: string): boolean {
  return (
    error instanceof StatusError && error.code === Code.notFound && error.detail?.name === name
  );
}

function stateOf({ metadata }: ApiObject): OwnerState {
  const waits = metadata?.deletionTimestamp && metadata.finalizers?.includes(foregroundFinalizer);
  return waits ? "waiting" : "exists";
}
