/** The admission plugins of this apiserver, in the order in which they run. */
import type { Store } from "../../../ha/store/types.ts";
import type { LimitRange, Namespace, Pod } from "../../../proto/gen/core.ts";
import type { IngressClass } from "../../../proto/gen/networking.ts";
import type { RuntimeClass } from "../../../proto/gen/node.ts";
import type { PriorityClass } from "../../../proto/gen/scheduling.ts";
import type { StorageClass } from "../../../proto/gen/storage.ts";
import {
  type Document,
  type Registry,
  type Resource,
  systemPriorityClasses,
} from "../../kinds/mod.ts";
import type { Authorizer } from "../auth/authorize.ts";
import type { NodeGraph } from "../auth/node-graph.ts";
import type { RbacPolicy } from "../auth/rbac/policy.ts";
import type { ServiceAccountTokens } from "../auth/service-accounts/tokens.ts";
import { notFound } from "../errors.ts";
import { fetchObject, ready } from "../storage/fetch.ts";
import { objectKey } from "../storage/keys.ts";
import { createSelection } from "../storage/selection.ts";
import type { StoredObject } from "../storage/stored-object.ts";
import type { WatchCache } from "../storage/watch-cache.ts";
import type { ServiceLookup } from "../webhook-client.ts";
import { certificates } from "./certificates.ts";
import { AdmissionChain } from "./chain.ts";
import { customResourceLifecycle } from "./custom-resource-lifecycle.ts";
import { defaultIngressClass } from "./default-ingress-class.ts";
import { defaultStorageClass } from "./default-storage-class.ts";
import { defaultTolerationSeconds, type TolerationSeconds } from "./default-toleration-seconds.ts";
import { deviceAdminAccess } from "./device-admin-access.ts";
import { validatingPolicies } from "./dynamic/policies.ts";
import { mutatingWebhooks, validatingWebhooks } from "./dynamic/webhooks.ts";
import { leaseFence } from "./lease-fence.ts";
import { limitRanger } from "./limit-ranger.ts";
import { namespaceLifecycle } from "./namespace-lifecycle.ts";
import { nodePortsInUse } from "./node-ports-in-use.ts";
import { nodeRestriction } from "./node-restriction.ts";
import { type PriorityClasses, podPriority, priorityClasses } from "./pod-priority.ts";
import { podSecurity } from "./pod-security.ts";
import type { PortRange } from "./port-range.ts";
import { rbacEscalation } from "./rbac-escalation.ts";
import { resourceQuota } from "./resource-quota.ts";
import { runtimeClass } from "./runtime-class.ts";
import { serviceAccount } from "./service-account.ts";
import { type ServiceAddressOptions, serviceAddresses } from "./service-addresses.ts";
import { serviceNodePorts } from "./service-node-ports.ts";
import { storageProtection } from "./storage-protection.ts";
import { taintNewNodes } from "./taint-new-nodes.ts";

/** Where the plugins look up what a write depends on. */
interface AdmissionBackend {
  readonly registry: Registry;
  readonly store: Store;
  readonly cache: WatchCache;
  readonly authorizers: readonly Authorizer[];
  readonly policy: RbacPolicy;
  readonly graph: NodeGraph;
  readonly serviceAccountTokens: ServiceAccountTokens | undefined;
  /** Unix milliseconds. */
  readonly now: () => number;
}

export function admissionChain(
  backend: AdmissionBackend,
  services: ServiceAddressOptions & {
    readonly nodePorts: PortRange;
    readonly originOf: (resource: Resource) => string | undefined;
    readonly serviceLookup: ServiceLookup;
    /** Absent: pods tolerate what they say themselves. */
    readonly tolerationSeconds?: TolerationSeconds | undefined;
    /** False: pods are given to nodes that no controller has seen ready. */
    readonly taintNewNodes?: boolean | undefined;
  },
): AdmissionChain {
  const { registry } = backend;
  const namespaces = registry.required("v1", "Namespace");
  const definitions = registry.required("apiextensions.k8s.io/v1", "CustomResourceDefinition");
  const accounts = registry.required("v1", "ServiceAccount");
  const find = async (resource: Resource, key: string, fresh: boolean) => {
    const cached: StoredObject | undefined = backend.cache.of(resource).get(key);
    return fresh || cached === undefined ? fetchObject(backend, resource, key) : cached;
  };
  const byName = async (resource: Resource, name: string) =>
    (await find(resource, objectKey(resource, "", name), false))?.document;
  const labelsOf = async (namespace: string) =>
    ((await byName(namespaces, namespace)) as Namespace | undefined)?.metadata?.labels;
  const priorities = priorityLookup(backend, byName);
  const pods = registry.required("v1", "Pod");
  const runtimes = registry.required("node.k8s.io/v1", "RuntimeClass");
  const limitRanges = registry.required("v1", "LimitRange");
  const storageClasses = registry.required("storage.k8s.io/v1", "StorageClass");
  const ingressClasses = registry.required("networking.k8s.io/v1", "IngressClass");
  // Of the kinds that admission goes by there is mostly no object at all.
  const stored = (resource: Resource, namespace: string): Iterable<StoredObject> => {
    const cache = backend.cache.of(resource);
    return cache.size === 0 ? [] : cache.select(createSelection(resource, { namespace }));
  };
  const cached = function* <T>(resource: Resource, namespace: string): Generator<T> {
    for (const { document } of stored(resource, namespace)) yield document as T;
  };
  const group = "admissionregistration.k8s.io/v1";
  const mutating = registry.required(group, "MutatingWebhookConfiguration");
  const validating = registry.required(group, "ValidatingWebhookConfiguration");
  const shown = (resource: Resource, object: StoredObject | undefined) =>
    ready(object?.as(resource));
  const policies = registry.required(group, "ValidatingAdmissionPolicy");
  const bindings = registry.required(group, "ValidatingAdmissionPolicyBinding");
  const webhooks = {
    registry,
    services: services.serviceLookup,
    authorizers: backend.authorizers,
    labelsOfNamespace: async (name: string) => {
      const found = (await byName(namespaces, name)) as Namespace | undefined;
      if (found === undefined) throw notFound(namespaces, name);
      return found.metadata?.labels;
    },
  };
  return new AdmissionChain([
    namespaceLifecycle(registry, (name, fresh) =>
      find(namespaces, objectKey(namespaces, "", name), fresh),
    ),
    customResourceLifecycle({
      originOf: services.originOf,
      find: (key, fresh) => find(definitions, key, fresh),
    }),
    limitRanger((namespace) => cached<LimitRange>(limitRanges, namespace)),
    serviceAccount({
      find: async (namespace, name) =>
        (await find(accounts, objectKey(accounts, namespace, name), false))?.document,
      makesTokens: backend.serviceAccountTokens?.makesTokens ?? false,
      random: services.random,
    }),
    ...(services.tolerationSeconds === undefined
      ? []
      : [defaultTolerationSeconds(services.tolerationSeconds)]),
    ...(services.taintNewNodes === true ? [taintNewNodes()] : []),
    deviceAdminAccess(labelsOf),
    podSecurity({
      labelsOf,
      podsOf: (namespace) => cached<Pod>(pods, namespace),
    }),
    podPriority(priorities),
    priorityClasses(priorities, systemClassNames),
    defaultStorageClass(() => cached<StorageClass>(storageClasses, "")),
    storageProtection(),
    defaultIngressClass(() => cached<IngressClass>(ingressClasses, "")),
    runtimeClass(async (name) => (await byName(runtimes, name)) as RuntimeClass | undefined),
    certificates(backend.authorizers),
    mutatingWebhooks(() => cached<Document>(mutating, ""), webhooks),
    serviceAddresses(services),
    serviceNodePorts({
      range: services.nodePorts,
      random: services.random,
      inUse: () => nodePortsInUse(backend.store),
    }),
    leaseFence(),
    nodeRestriction(backend.graph),
    rbacEscalation({
      authorizers: backend.authorizers,
      policy: backend.policy,
      roles: registry.required("rbac.authorization.k8s.io/v1", "Role"),
      clusterRoles: registry.required("rbac.authorization.k8s.io/v1", "ClusterRole"),
    }),
    validatingPolicies({
      ...webhooks,
      bindings: () => cached<Document>(bindings, ""),
      policy: (name) => byName(policies, name),
      namespace: (name) => byName(namespaces, name),
      param: async (resource, namespace, name) =>
        (await shown(resource, await find(resource, objectKey(resource, namespace, name), false)))
          ?.document,
      params: async (resource, namespace) => {
        const found: Document[] = [];
        for (const each of stored(resource, namespace)) {
          const object = await shown(resource, each);
          if (object !== undefined) found.push(object.document);
        }
        return found;
      },
    }),
    validatingWebhooks(() => cached<Document>(validating, ""), webhooks),
    // The last of them: what another one refuses must not be counted.
    resourceQuota({
      registry,
      list: stored,
      fetch: (resource, key) => fetchObject(backend, resource, key),
      waitFor: (revision) => backend.cache.waitFor(revision),
      now: backend.now,
    }),
  ]);
}

const systemClassNames = new Set(systemPriorityClasses.map(({ metadata }) => metadata?.name ?? ""));

function priorityLookup(
  backend: AdmissionBackend,
  byName: (resource: Resource, name: string) => Promise<object | undefined>,
): PriorityClasses {
  const classes = backend.registry.required("scheduling.k8s.io/v1", "PriorityClass");
  return {
    get: async (name) => (await byName(classes, name)) as PriorityClass | undefined,
    *list() {
      for (const { document } of backend.cache.of(classes).select(createSelection(classes, {}))) {
        yield document as PriorityClass;
      }
    },
  };
}
