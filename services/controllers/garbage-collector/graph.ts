/**
 * Who owns whom, over every kind that is served: nodes by uid, and for each uid the nodes that name
 * it as their owner (Kubernetes `garbagecollector/graph.go`). Pure: no clock, no API.
 */
import type { ObjectMeta, OwnerReference } from "../../../proto/gen/meta.ts";
import type { ApiObject, ServedKind } from "../../client/mod.ts";

export const foregroundFinalizer = "foregroundDeletion";
export const orphanFinalizer = "orphan";

export interface GraphNode {
  readonly uid: string;
  readonly served: ServedKind;
  readonly metadata: ObjectMeta;
}

export class Graph {
  readonly #nodes = new Map<string, GraphNode>();
  /** Nodes by the uid of an owner, which itself need not be in the graph. */
  readonly #dependents = new Map<string, Map<string, GraphNode>>();

  get(uid: string): GraphNode | undefined {
    return this.#nodes.get(uid);
  }

  nodes(): Iterable<GraphNode> {
    return this.#nodes.values();
  }

  /** All nodes with a reference to this uid, whether or not its other coordinates are right. */
  referring(uid: string): GraphNode[] {
    return [...(this.#dependents.get(uid)?.values() ?? [])];
  }

  /** The nodes that this one rightfully owns. */
  dependents(owner: GraphNode): GraphNode[] {
    return this.referring(owner.uid).filter((each) => references(each, owner).length > 0);
  }

  /**
   * Notes an object as it is now; answers the node it replaces. An object that is served under a
   * second group as well keeps the node of the kind under which it was seen first.
   */
  put(served: ServedKind, object: ApiObject): { previous?: GraphNode; node?: GraphNode } {
    const { metadata = {} } = object;
    const { uid } = metadata;
    if (!uid) return {};
    const previous = this.#nodes.get(uid);
    if (previous && !sameKind(previous.served, served)) return {};
    const node: GraphNode = { uid, served, metadata };
    if (previous) this.#unlink(previous);
    this.#nodes.set(uid, node);
    for (const owner of ownersOf(node)) {
      const uidOfOwner = owner.uid ?? "";
      const known = this.#dependents.get(uidOfOwner);
      if (known) known.set(uid, node);
      else this.#dependents.set(uidOfOwner, new Map([[uid, node]]));
    }
    return previous ? { previous, node } : { node };
  }

  /** Answers the node that is gone. */
  remove(served: ServedKind, uid: string): GraphNode | undefined {
    const node = this.#nodes.get(uid);
    if (!node || !sameKind(node.served, served)) return undefined;
    this.#unlink(node);
    this.#nodes.delete(uid);
    return node;
  }

  /**
   * True when nothing but a cycle of owners keeps this node from going. The node is under deletion in
   * the foreground: it waits for the dependents that block it. Objects that own each other, or
   * themselves, would wait for each other for ever; so such a cycle goes as soon as everything that
   * any of its members waits for is itself a member, and under deletion in the foreground.
   */
  mayFinish(node: GraphNode): boolean {
    const direct = this.blocking(node);
    if (direct.length === 0) return true;
    const waiting = this.#waitingFor(node);
    const seen = new Set<string>([node.uid]);
    const left = direct;
    for (let next = left.pop(); next; next = left.pop()) {
      if (seen.has(next.uid)) continue;
      if (!isForeground(next) || !waiting.has(next.uid)) return false;
      seen.add(next.uid);
      left.push(...this.blocking(next));
    }
    return true;
  }

  /** The dependents that an owner under deletion in the foreground waits for. */
  blocking(owner: GraphNode): GraphNode[] {
    return this.referring(owner.uid).filter((each) =>
      references(each, owner).some(({ blockOwnerDeletion }) => blockOwnerDeletion === true),
    );
  }

  /** The foreground deletions that wait, directly or through others, for this node. */
  #waitingFor(node: GraphNode): ReadonlySet<string> {
    const found = new Set<string>();
    const left = [node];
    for (let next = left.pop(); next; next = left.pop()) {
      for (const { uid = "", blockOwnerDeletion } of ownersOf(next)) {
        const owner = this.#nodes.get(uid);
        if (!owner || !blockOwnerDeletion || found.has(uid) || !isForeground(owner)) continue;
        if (references(next, owner).length === 0) continue;
        found.add(uid);
        left.push(owner);
      }
    }
    return found;
  }

  #unlink(node: GraphNode): void {
    for (const { uid = "" } of ownersOf(node)) {
      const known = this.#dependents.get(uid);
      known?.delete(node.uid);
      if (known?.size === 0) this.#dependents.delete(uid);
    }
  }
}

export function ownersOf({ metadata }: GraphNode): readonly OwnerReference[] {
  return metadata.ownerReferences ?? [];
}

/** The references of a dependent that name this owner by all its coordinates. */
function references(dependent: GraphNode, owner: GraphNode): OwnerReference[] {
  return ownersOf(dependent).filter((each) => names(each, dependent.metadata.namespace, owner));
}

/** A namespaced owner is meant in the dependent's own namespace; any served version will do. */
export function names(
  reference: OwnerReference,
  namespace: string | undefined,
  owner: GraphNode,
): boolean {
  return (
    reference.uid === owner.uid &&
    reference.kind === owner.served.kind &&
    groupOf(reference.apiVersion) === (owner.served.group ?? "") &&
    reference.name === owner.metadata.name &&
    (!owner.served.namespaced || owner.metadata.namespace === namespace)
  );
}

function groupOf(apiVersion = ""): string {
  const slash = apiVersion.indexOf("/");
  return slash < 0 ? "" : apiVersion.slice(0, slash);
}

export function isDeleting({ metadata }: GraphNode): boolean {
  return metadata.deletionTimestamp !== undefined;
}

/** Under deletion, and waits for its dependents to go first. */
export function isForeground(node: GraphNode): boolean {
  return isDeleting(node) && (node.metadata.finalizers ?? []).includes(foregroundFinalizer);
}

/** Under deletion, and waits for its dependents to be set free. */
export function isOrphaning(node: GraphNode): boolean {
  return isDeleting(node) && (node.metadata.finalizers ?? []).includes(orphanFinalizer);
}

function sameKind(a: ServedKind, b: ServedKind): boolean {
  return (a.group ?? "") === (b.group ?? "") && a.plural === b.plural;
}
