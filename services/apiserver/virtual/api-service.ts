import type { APIService } from "../../../proto/gen/apiregistration.ts";
import type { Document } from "../../kinds/mod.ts";
import { forbidden } from "../errors.ts";
import { objectKey } from "../storage/keys.ts";
import type { Backend } from "../verbs/backend.ts";
import { groupPriority, groupsOf } from "../verbs/groups.ts";
import type { VirtualKind } from "../verbs/virtual-kind.ts";

const ownVersionPriority = 15;

/** The groups and versions that are served now, all by this apiserver (upstream's `Local`). */
export const apiService: VirtualKind = {
  create(backend, _call, document) {
    const resource = backend.registry.required("apiregistration.k8s.io/v1", "APIService");
    const why = "API services follow from the kinds that are served, none can be added";
    throw forbidden(resource, document.metadata?.name ?? "", why);
  },
  get: (backend, _call, name) => all(backend).find(({ metadata }) => metadata?.name === name),
  list: (backend) => all(backend),
};

function all(backend: Backend): Document[] {
  const since = clusterCreation(backend);
  return groupsOf(backend.registry)
    .flatMap(({ name, versions }) => versions.map((version) => local(name, version, since)))
    .sort((one, other) => ((one.metadata?.name ?? "") < (other.metadata?.name ?? "") ? -1 : 1));
}

function local(group: string, version: string, since: string | undefined): Document {
  const one: APIService = {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: {
      name: `${version}.${group}`,
      creationTimestamp: since,
      labels: { "kube-aggregator.kubernetes.io/automanaged": "onstart" },
    },
    spec: {
      ...(group !== "" && { group }),
      version,
      groupPriorityMinimum: groupPriority(group),
      versionPriority: ownVersionPriority,
    },
    status: {
      conditions: [
        {
          type: "Available",
          status: "True",
          lastTransitionTime: since,
          reason: "Local",
          message: "Local APIServices are always available",
        },
      ],
    },
  };
  return one as Document;
}

/** When the cluster's first namespace was made; unknown before that. */
function clusterCreation({ registry, cache }: Backend): string | undefined {
  const namespaces = registry.required("v1", "Namespace");
  const first = cache.of(namespaces).get(objectKey(namespaces, "", "default"));
  return first?.document.metadata?.creationTimestamp;
}
