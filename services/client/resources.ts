/** The kinds with a typed service: one row each. */
import type { MethodDefinition } from "@grpc/grpc-js";
import {
  type Deployment,
  DeploymentsService,
  type ReplicaSet,
  ReplicaSetsService,
} from "../../proto/gen/apps.ts";
import { type Lease, LeasesService } from "../../proto/gen/coordination.ts";
import {
  type ConfigMap,
  ConfigMapsService,
  type Endpoints,
  EndpointsCollectionService,
  type Event,
  EventsService,
  type Namespace,
  NamespacesService,
  type Node,
  NodesService,
  type Pod,
  PodsService,
  type Secret,
  SecretsService,
  type Service,
  type ServiceAccount,
  ServiceAccountsService,
  ServicesService,
} from "../../proto/gen/core.ts";
import type {
  DeleteRequest,
  GetRequest,
  ListMeta,
  ListRequest,
  PatchRequest,
  Status,
  WatchRequest,
  WriteOptions as WireWriteOptions,
} from "../../proto/gen/meta.ts";
import { type NodeLiveness, NodeLivenessesService } from "../../proto/gen/node.ts";
import type { ApiObject } from "./types.ts";

export interface ObjectTypes {
  Pod: Pod;
  Node: Node;
  Service: Service;
  Endpoints: Endpoints;
  Event: Event;
  ConfigMap: ConfigMap;
  Secret: Secret;
  ServiceAccount: ServiceAccount;
  Namespace: Namespace;
  Lease: Lease;
  ReplicaSet: ReplicaSet;
  Deployment: Deployment;
  NodeLiveness: NodeLiveness;
}
export type KindName = keyof ObjectTypes;

interface Write<T> {
  object?: T | undefined;
  namespace?: string | undefined;
  options?: WireWriteOptions | undefined;
}

/** The methods that every typed service has. */
export interface KindService<T> {
  readonly get: MethodDefinition<GetRequest, T>;
  readonly list: MethodDefinition<
    ListRequest,
    { metadata?: ListMeta | undefined; items?: T[] | undefined }
  >;
  readonly watch: MethodDefinition<
    WatchRequest,
    { type?: string | undefined; object?: T | undefined }
  >;
  readonly create: MethodDefinition<Write<T>, T>;
  readonly update: MethodDefinition<Write<T>, T>;
  readonly updateStatus: MethodDefinition<Write<T>, T>;
  readonly patch: MethodDefinition<PatchRequest, T>;
  readonly delete: MethodDefinition<DeleteRequest, Status>;
}

export interface Resource<T extends ApiObject> {
  readonly apiVersion: string;
  readonly kind: KindName;
  readonly plural: string;
  readonly namespaced: boolean;
  readonly service: KindService<T>;
}

function row<K extends KindName>(
  kind: K,
  apiVersion: string,
  plural: string,
  namespaced: boolean,
  service: KindService<ObjectTypes[K]>,
): Resource<ObjectTypes[K]> {
  return { kind, apiVersion, plural, namespaced, service };
}

export const resources: { readonly [K in KindName]: Resource<ObjectTypes[K]> } = {
  Pod: row("Pod", "v1", "pods", true, PodsService),
  Node: row("Node", "v1", "nodes", false, NodesService),
  Service: row("Service", "v1", "services", true, ServicesService),
  Endpoints: row("Endpoints", "v1", "endpoints", true, EndpointsCollectionService),
  Event: row("Event", "v1", "events", true, EventsService),
  ConfigMap: row("ConfigMap", "v1", "configmaps", true, ConfigMapsService),
  Secret: row("Secret", "v1", "secrets", true, SecretsService),
  ServiceAccount: row("ServiceAccount", "v1", "serviceaccounts", true, ServiceAccountsService),
  Namespace: row("Namespace", "v1", "namespaces", false, NamespacesService),
  Lease: row("Lease", "coordination.k8s.io/v1", "leases", true, LeasesService),
  ReplicaSet: row("ReplicaSet", "apps/v1", "replicasets", true, ReplicaSetsService),
  Deployment: row("Deployment", "apps/v1", "deployments", true, DeploymentsService),
  NodeLiveness: row(
    "NodeLiveness",
    "node.trireme.io/v1",
    "nodelivenesses",
    false,
    NodeLivenessesService,
  ),
};

export const kindNames = Object.keys(resources) as readonly KindName[];
