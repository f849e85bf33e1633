import type { RequestInfo } from "../request-info.ts";
import type { Authorizer, Decision } from "./authorize.ts";
import type { NeededKind, NodeGraph } from "./node-graph.ts";
import { nodeRole } from "./rbac/bootstrap/component-roles.ts";
import { ReadyRole } from "./rbac/rule.ts";

const userPrefix = "system:node:";

/** The node a user speaks for, if it is one. */
export function nodeNameOf(user: { name: string; groups: readonly string[] }): string | undefined {
  if (!user.groups.includes("system:nodes") || !user.name.startsWith(userPrefix)) return undefined;
  return user.name.slice(userPrefix.length);
}

const readVerbs = ["get", "list", "watch"];
const allowed: Decision = { allowed: true };
const refused: Decision = { allowed: false };

/** Decides about one kind of object, for a node. */
type NodeRule = (graph: NodeGraph, node: string, request: RequestInfo) => Decision;

/** By `plural[.group]`: what depends on the node. Everything else is as the role system:node says. */
const rules: Readonly<Record<string, NodeRule>> = {
  nodes: ownNode,
  pods: ownPods,
  secrets: (graph, node, request) => needed(graph, node, request, "secrets", readVerbs),
  configmaps: (graph, node, request) => needed(graph, node, request, "configmaps", readVerbs),
  persistentvolumeclaims(graph, node, request) {
    const verbs = request.subresource === "status" ? ["get", "update", "patch"] : ["get"];
    return needed(graph, node, request, "persistentvolumeclaims", verbs);
  },
  persistentvolumes: (graph, node, { verb, name, subresource }) => {
    if (verb !== "get" || subresource !== "") return refused;
    return graph.needsVolume(node, name) ? allowed : unrelated(node);
  },
  serviceaccounts(graph, node, request) {
    const verbs = request.subresource === "token" ? ["create"] : readVerbs;
    return needed(graph, node, request, "serviceaccounts", verbs);
  },
  "volumeattachments.storage.k8s.io": (graph, node, { verb, name, subresource }) => {
    if (verb !== "get" || subresource !== "") return refused;
    return graph.nodeOfAttachment(name) === node ? allowed : unrelated(node);
  },
  "csinodes.storage.k8s.io": (_graph, node, { verb, name }) => {
    const verbs = ["get", "create", "update", "patch", "delete"];
    if (!verbs.includes(verb)) {
      return refusal("can only get, create, update, patch, or delete a CSINode");
    }
    // The name of a new one may come with its body, which admission sees.
    if (name === node || (verb === "create" && name === "")) return allowed;
    return refusal("can only access CSINode with the same name as the requesting node");
  },
  "leases.coordination.k8s.io": (_graph, node, { verb, name, namespace }) => {
    const verbs = ["get", "create", "update", "patch", "delete"];
    if (!verbs.includes(verb)) {
      return refusal("can only get, create, update, patch, or delete a node lease");
    }
    if (namespace !== "kube-node-lease") {
      return refusal('can only access leases in the "kube-node-lease" system namespace');
    }
    if (name === node || (verb === "create" && name === "")) return allowed;
    return refusal("can only access node lease with the same name as the requesting node");
  },
};

/** Beside upstream's role: what Trireme's kubelet reads. */
const role = new ReadyRole([
  ...nodeRole.rules,
  { verbs: ["list", "watch"], apiGroups: [""], resources: ["endpoints"] },
]);

/**
 * What a kubelet may do (upstream's Node authorizer): its own Node, Lease and CSINode, the pods bound
 * to it, and reading the objects that those pods need. Admission's NodeRestriction looks into bodies.
 */
export function nodeAuthorizer(graph: NodeGraph): Authorizer {
  return {
    authorize(request): Decision {
      const node = nodeNameOf(request.user);
      if (node === undefined) return refused;
      const { group, resource } = request;
      const name = group === "" ? resource : `${resource}.${group}`;
      const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
      if (rule !== undefined) return rule(graph, node, request);
      return role.allows(request) ? allowed : refused;
    },
  };
}

function ownNode(_graph: NodeGraph, node: string, request: RequestInfo): Decision {
  const { verb, name, subresource } = request;
  if (subresource === "status") {
    if (!["update", "patch"].includes(verb)) return refused;
  } else if (subresource !== "" || verb === "delete" || verb === "deletecollection") {
    return refusal("nodes may not delete nodes");
  }
  if (verb === "list" || verb === "watch") {
    if (selected(request.fieldSelector, "metadata.name") === node) return allowed;
    return refusal(`node '${node}' cannot read all nodes, only its own Node object`);
  }
  if (name === node || (verb === "create" && name === "")) return allowed;
  if (verb === "get") {
    return refusal(`node '${node}' cannot read '${name}', only its own Node object`);
  }
  return refusal(`node "${node}" is not allowed to modify node "${name}"`);
}

function ownPods(graph: NodeGraph, node: string, request: RequestInfo): Decision {
  const { verb, name, namespace, subresource, fieldSelector } = request;
  if (verb === "list" || verb === "watch") {
    if (selected(fieldSelector, "spec.nodeName") === node) return allowed;
    return refusal(`can only list pods of its own, with field selector spec.nodeName=${node}`);
  }
  if (verb === "create" && subresource === "") return allowed;
  const wanted =
    (subresource === "" && (verb === "get" || verb === "delete")) ||
    (subresource === "status" && (verb === "update" || verb === "patch")) ||
    (subresource === "eviction" && verb === "create");
  if (!wanted) return refused;
  return graph.nodeOfPod(namespace, name) === node ? allowed : unrelated(node);
}

/** A list or watch must name one object by its field selector, as upstream demands. */
function needed(
  graph: NodeGraph,
  node: string,
  request: RequestInfo,
  kind: NeededKind,
  verbs: readonly string[],
): Decision {
  const { verb, namespace, subresource, fieldSelector } = request;
  const whole = subresource === "" || subresource === "status" || subresource === "token";
  if (!verbs.includes(verb) || !whole) return refused;
  const byName = verb !== "list" && verb !== "watch";
  const name = byName ? request.name : (selected(fieldSelector, "metadata.name") ?? "");
  if (name === "" || namespace === "") {
    return refusal(
      "can only read individual resources of this type, by name or metadata.name=NAME",
    );
  }
  return graph.needs(node, kind, namespace, name) ? allowed : unrelated(node);
}

/** The value that a field selector demands of a field. */
function selected(fieldSelector: string, field: string): string | undefined {
  for (const term of fieldSelector.split(",")) {
    const [name, value] = term.split(/==?/);
    if (name === field && value !== undefined && !term.includes("!=")) return value;
  }
  return undefined;
}

function unrelated(node: string): Decision {
  return refusal(`no relationship found between node '${node}' and this object`);
}

function refusal(reason: string): Decision {
  return { allowed: false, reason };
}
