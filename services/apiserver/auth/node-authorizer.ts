import type { Pod } from "../../../proto/gen/core.ts";
import { referencesOf } from "../../kinds/mod.ts";
import type { RequestInfo } from "../request-info.ts";
import type { Authorizer, Decision } from "./authorize.ts";

const userPrefix = "system:node:";

/** The node a user speaks for, if it is one. */
export function nodeNameOf(user: { name: string; groups: readonly string[] }): string | undefined {
  if (!user.groups.includes("system:nodes") || !user.name.startsWith(userPrefix)) return undefined;
  return user.name.slice(userPrefix.length);
}

/** Pods as the watch cache has them. */
export interface PodLookup {
  get(namespace: string, name: string): Pod | undefined;
  /** Every pod of a namespace. */
  list(namespace: string): Iterable<Pod>;
}

const readVerbs = new Set(["get", "list", "watch"]);
const eventVerbs = new Set(["create", "update", "patch"]);
const refusedByGraph = "no relationship found between node";

/**
 * What a kubelet may do (upstream's Node authorizer and NodeRestriction): its own Node and Lease,
 * the pods bound to it, and reading the objects that those pods name.
 */
export function nodeAuthorizer(pods: PodLookup): Authorizer {
  return {
    authorize(request): Decision {
      const node = nodeNameOf(request.user);
      if (node === undefined) return { allowed: false };
      if (request.group === "coordination.k8s.io") return leaseDecision(node, request);
      if (request.group !== "") return { allowed: false };
      const reads = readVerbs.has(request.verb);
      switch (request.resource) {
        case "nodes":
          return nodeDecision(node, request);
        case "pods":
          return podDecision(node, request, pods);
        case "events":
          return { allowed: eventVerbs.has(request.verb) };
        case "services":
        case "endpoints":
          return { allowed: reads };
        case "secrets":
        case "configmaps":
        case "serviceaccounts":
          return reads ? referenceDecision(node, request, pods) : { allowed: false };
        default:
          return { allowed: false };
      }
    },
  };
}

function nodeDecision(node: string, request: RequestInfo): Decision {
  const { verb, name } = request;
  if (readVerbs.has(verb)) return { allowed: true };
  if (!["create", "update", "patch"].includes(verb)) {
    return { allowed: false, reason: "nodes may not delete nodes" };
  }
  if (name === node) return { allowed: true };
  return { allowed: false, reason: `node "${node}" is not allowed to modify node "${name}"` };
}

function podDecision(node: string, request: RequestInfo, pods: PodLookup): Decision {
  const { verb, name, namespace, subresource } = request;
  if (verb === "list" || verb === "watch") {
    const own = request.fieldSelector.split(",").includes(`spec.nodeName=${node}`);
    if (own) return { allowed: true };
    const reason = `can only list pods of its own, with field selector spec.nodeName=${node}`;
    return { allowed: false, reason };
  }
  const wanted =
    (subresource === "" && (verb === "get" || verb === "delete")) ||
    (subresource === "status" && (verb === "update" || verb === "patch"));
  if (!wanted) return { allowed: false };
  if (pods.get(namespace, name)?.spec?.nodeName === node) return { allowed: true };
  return { allowed: false, reason: `${refusedByGraph} "${node}" and this object` };
}

/** A list or watch must name one object by its field selector, as upstream demands. */
function referenceDecision(node: string, request: RequestInfo, pods: PodLookup): Decision {
  const { resource, namespace } = request;
  const selected = /^metadata\.name=([^,=]+)$/.exec(request.fieldSelector)?.[1] ?? "";
  const name = request.verb === "get" ? request.name : selected;
  if (name === "" || namespace === "") {
    const reason = `can only read individual resources of this type, by name or metadata.name=NAME`;
    return { allowed: false, reason };
  }
  for (const pod of pods.list(namespace)) {
    if (pod.spec?.nodeName !== node) continue;
    const { secrets, configMaps, serviceAccount } = referencesOf(pod);
    if (resource === "secrets" && secrets.has(name)) return { allowed: true };
    if (resource === "configmaps" && configMaps.has(name)) return { allowed: true };
    if (resource === "serviceaccounts" && serviceAccount === name) return { allowed: true };
  }
  return { allowed: false, reason: `${refusedByGraph} "${node}" and this object` };
}

function leaseDecision(node: string, request: RequestInfo): Decision {
  const { verb, name, namespace } = request;
  const own = namespace === "kube-node-lease" && name === node;
  return { allowed: own && ["get", "create", "update", "patch"].includes(verb) };
}
