import type { Document, Kind } from "../../kinds/mod.ts";
import type { Attributes, Authorizer, Decision } from "./authorize.ts";

const userPrefix = "system:node:";

/** The node a user speaks for, if it is one. */
export function nodeNameOf(user: { name: string; groups: readonly string[] }): string | undefined {
  if (!user.groups.includes("system:nodes") || !user.name.startsWith(userPrefix)) return undefined;
  return user.name.slice(userPrefix.length);
}

/** The object as the watch cache has it. */
export type Lookup = (kind: Kind, namespace: string, name: string) => Document | undefined;

const readVerbs = new Set(["get", "list", "watch"]);
const readable = new Set(["services", "endpoints", "configmaps", "secrets", "serviceaccounts"]);

/**
 * What a kubelet may do (upstream's Node authorizer and NodeRestriction): its own Node and Lease, the
 * pods bound to it, and reading what pods refer to.
 */
export function nodeAuthorizer(lookup: Lookup): Authorizer {
  return {
    authorize(attributes): Decision {
      const node = nodeNameOf(attributes.user);
      if (node === undefined) return { allowed: false };
      const { kind, verb } = attributes;
      if (kind.group === "coordination.k8s.io") return leaseDecision(node, attributes);
      if (kind.group !== "") return { allowed: false };
      if (kind.plural === "nodes") return nodeDecision(node, attributes);
      if (kind.plural === "pods") return podDecision(node, attributes, lookup);
      if (kind.plural === "events")
        return { allowed: ["create", "update", "patch"].includes(verb) };
      return { allowed: readable.has(kind.plural) && readVerbs.has(verb) };
    },
  };
}

function nodeDecision(node: string, attributes: Attributes): Decision {
  const { verb, name } = attributes;
  if (readVerbs.has(verb)) return { allowed: true };
  if (!["create", "update", "patch"].includes(verb)) {
    return { allowed: false, reason: "nodes may not delete nodes" };
  }
  if (name === node) return { allowed: true };
  return { allowed: false, reason: `node "${node}" is not allowed to modify node "${name}"` };
}

function podDecision(node: string, attributes: Attributes, lookup: Lookup): Decision {
  const { verb, name, kind, namespace, subresource } = attributes;
  if (verb === "list" || verb === "watch") {
    const own = attributes.fieldSelector.split(",").includes(`spec.nodeName=${node}`);
    if (own) return { allowed: true };
    const reason = `can only list pods of its own, with field selector spec.nodeName=${node}`;
    return { allowed: false, reason };
  }
  const wanted =
    (subresource === "" && (verb === "get" || verb === "delete")) ||
    (subresource === "status" && (verb === "update" || verb === "patch"));
  if (!wanted) return { allowed: false };
  const spec = lookup(kind, namespace, name)?.["spec"] as { nodeName?: string } | undefined;
  if (spec?.nodeName === node) return { allowed: true };
  return { allowed: false, reason: `no relationship found between node "${node}" and this object` };
}

function leaseDecision(node: string, attributes: Attributes): Decision {
  const { verb, name, namespace } = attributes;
  const own = namespace === "kube-node-lease" && name === node;
  return { allowed: own && ["get", "create", "update", "patch"].includes(verb) };
}
