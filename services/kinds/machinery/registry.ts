/** Every built-in kind, and the ways to find one. */

import { deployment } from "../apps/deployment.ts";
import { replicaSet } from "../apps/replica-set.ts";
import { lease } from "../coordination/lease.ts";
import { configMap } from "../core/config-map.ts";
import { endpoints } from "../core/endpoints.ts";
import { event } from "../core/event.ts";
import { namespace } from "../core/namespace.ts";
import { node } from "../core/node.ts";
import { pod } from "../core/pod/pod.ts";
import { secret } from "../core/secret.ts";
import { service } from "../core/service.ts";
import { serviceAccount } from "../core/service-account.ts";
import { nodeLiveness } from "../node/liveness.ts";
import type { Kind } from "./types.ts";

export const kinds: readonly Kind[] = [
  namespace,
  node,
  pod,
  service,
  endpoints,
  event,
  configMap,
  secret,
  serviceAccount,
  lease,
  replicaSet,
  deployment,
  nodeLiveness,
];

/** `v1` or `group/version`, as objects of the kind carry it. */
export function apiVersionOf(kind: Kind): string {
  return kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
}

const byGroupVersionKind = new Map(
  kinds.map((kind) => [`${apiVersionOf(kind)} ${kind.kind}`, kind]),
);

/** E.g. `kindOf("apps/v1", "Deployment")`. */
export function kindOf(apiVersion: string, kind: string): Kind | undefined {
  return byGroupVersionKind.get(`${apiVersion} ${kind}`);
}

/**
 * By plural, singular, short name or kind, in any case, as a user types it. Without a group the
 * first kind so named is meant; "" is the core group.
 */
export function kindByResource(name: string, group?: string): Kind | undefined {
  const wanted = name.toLowerCase();
  return kinds.find(
    (kind) =>
      (group === undefined || kind.group === group) &&
      (kind.plural === wanted || kind.singular === wanted || kind.shortNames.includes(wanted)),
  );
}

const byService = new Map(kinds.map((kind) => [serviceNameOf(kind), kind]));

/** Full name of the kind's typed service, e.g. `trireme.core.v1.Pods`. */
export function serviceNameOf(kind: Kind): string {
  const path = Object.values(kind.service)[0]?.path ?? "";
  return path.slice(1, path.lastIndexOf("/"));
}

export function kindByService(serviceFullName: string): Kind | undefined {
  return byService.get(serviceFullName);
}
