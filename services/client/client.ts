import type { ClientTls } from "../../ha/rpc/address.ts";
import { codeOfReason } from "../../ha/rpc/error-table.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import {
  type SubjectAccessReviewSpec,
  SubjectAccessReviewsService,
} from "../../proto/gen/authorization.ts";
import {
  type CertificateSigningRequest,
  CertificateSigningRequestsService,
} from "../../proto/gen/certificates.ts";
import { ClusterService, type MemberStatus } from "../../proto/gen/cluster.ts";
import {
  type Binding,
  type ExecRequest,
  type ExecResponse,
  type HeartbeatRequest,
  type HeartbeatResponse,
  type LogsRequest,
  type Namespace,
  NamespacesService,
  NodesService,
  PodsService,
  type PortForwardRequest,
  type PortForwardResponse,
  ServiceAccountsService,
  type TokenRequest,
  type TokenRequestSpec,
} from "../../proto/gen/core.ts";
import type { Status } from "../../proto/gen/meta.ts";
import type { KindProperties } from "../../proto/gen/resources.ts";
import { type DynamicClient, dynamicClient } from "./dynamic-client.ts";
import { deleteRequest, TypedResourceClient, wireOptions, writing } from "./resource-client.ts";
import { type KindName, kindNames, type ObjectTypes, resources } from "./resources.ts";
import type { ClientTransport, Duplex } from "./transport.ts";
import type {
  ApiObject,
  CallOptions,
  DeleteOptions,
  ResourceClient,
  WriteOptions,
} from "./types.ts";

/** Names a pod; with a uid only the very one. */
interface PodReference {
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string | undefined;
}

interface PodBinding {
  readonly pod: PodReference;
  readonly nodeName: string;
}

/** The typed properties of a client, one for each kind, e.g. `configMaps`. */
type ResourceClients = {
  readonly [P in keyof KindProperties as KindProperties[P] extends KindName
    ? P
    : never]: ResourceClient<ObjectTypes[KindProperties[P] & KindName]>;
};

export interface TriremeClient extends ResourceClients {
  resource<K extends KindName>(kind: K): ResourceClient<ObjectTypes[K]>;
  readonly dynamic: DynamicClient;
  readonly cluster: { status(options?: CallOptions): Promise<MemberStatus> };
  /** Assigns a pod to a node; `failedPrecondition` when the fence has moved on. */
  bind(pod: PodReference, nodeName: string, options?: WriteOptions): Promise<void>;
  /**
   * The same for many, in one request: what has become of each, in their order; undefined: it is
   * bound. 500 at most.
   */
  bindAll(
    bindings: readonly PodBinding[],
    options?: WriteOptions,
  ): Promise<(StatusError | undefined)[]>;
  evict(pod: PodReference, options?: DeleteOptions): Promise<void>;
  /** A token of the service account, in the answer's status. */
  createToken(
    account: { readonly namespace: string; readonly name: string },
    spec: TokenRequestSpec,
    options?: CallOptions,
  ): Promise<TokenRequest>;
  /** Replaces the namespace's `spec.finalizers`. */
  finalizeNamespace(namespace: Namespace, options?: WriteOptions): Promise<Namespace>;
  /** Approves or denies: replaces the request's `status.conditions`. */
  updateApproval(
    request: CertificateSigningRequest,
    options?: WriteOptions,
  ): Promise<CertificateSigningRequest>;
  /** Whether the cluster's authorizers allow the user of the spec what it names. */
  reviewAccess(spec: SubjectAccessReviewSpec, options?: CallOptions): Promise<boolean>;
  /** Opens a node's heartbeat stream; the caller opens a new one when it breaks. */
  heartbeat(options?: CallOptions): Promise<Duplex<HeartbeatRequest, HeartbeatResponse>>;
  /** Pieces of a container's log, not aligned to lines. */
  logs(request: LogsRequest, options?: CallOptions): AsyncIterable<Uint8Array>;
  /** A program beside a container's own; the first message has the options. */
  exec(options?: CallOptions): Promise<Duplex<ExecRequest, ExecResponse>>;
  /** A container's own program; the first message has the options. */
  attach(options?: CallOptions): Promise<Duplex<ExecRequest, ExecResponse>>;
  /** One connection to a port of a pod; the first message has the options. */
  portForward(options?: CallOptions): Promise<Duplex<PortForwardRequest, PortForwardResponse>>;
  /** Calls from now on show this certificate. */
  renewTls(tls: ClientTls): void;
  /** Idempotent; calls under way fail. */
  close(): void;
}

/** A client over any transport, for example one within the same process. */
export function createClient(transport: ClientTransport): TriremeClient {
  const clients = new Map<KindName, ResourceClient<ApiObject>>();
  function resource<K extends KindName>(kind: K): ResourceClient<ObjectTypes[K]> {
    let client = clients.get(kind) as ResourceClient<ObjectTypes[K]> | undefined;
    if (!client) {
      client = new TypedResourceClient<ObjectTypes[K]>(resources[kind], transport);
      clients.set(kind, client as unknown as ResourceClient<ApiObject>);
    }
    return client;
  }
  return {
    resource,
    ...clientsByProperty(resource),
    dynamic: dynamicClient(transport),
    cluster: { status: (call = {}) => transport.unary(ClusterService.status, {}, call) },
    async bind(pod, nodeName, write = {}) {
      await transport.unary(PodsService.bind, bindingOf({ pod, nodeName }), writing(write));
    },
    async bindAll(bindings, write = {}) {
      const batch = { items: bindings.map(bindingOf) };
      const { items = [] } = await transport.unary(PodsService.bindAll, batch, writing(write));
      return bindings.map((_, index) => failureOf(items[index]));
    },
    async evict(pod, write = {}) {
      const { namespace, name, uid } = pod;
      const preconditions = write.preconditions ?? (uid === undefined ? undefined : { uid });
      const request = {
        apiVersion: "policy/v1",
        kind: "Eviction",
        metadata: { namespace, name },
        deleteOptions: deleteRequest(name, namespace, { ...write, preconditions }),
      };
      await transport.unary(PodsService.evict, request, writing(write));
    },
    createToken(account, spec, call = {}) {
      const { namespace, name } = account;
      const request = {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        metadata: { namespace, name },
        spec,
      };
      return transport.unary(ServiceAccountsService.createToken, request, call);
    },
    finalizeNamespace(namespace, write = {}) {
      const request = { object: namespace, options: wireOptions(write) };
      return transport.unary(NamespacesService.finalize, request, writing(write));
    },
    updateApproval(object, write = {}) {
      const request = { object, options: wireOptions(write) };
      return transport.unary(
        CertificateSigningRequestsService.updateApproval,
        request,
        writing(write),
      );
    },
    async reviewAccess(spec, call = {}) {
      const apiVersion = "authorization.k8s.io/v1";
      const request = { object: { apiVersion, kind: "SubjectAccessReview", spec } };
      const answer = await transport.unary(SubjectAccessReviewsService.create, request, call);
      return answer.status?.allowed === true;
    },
    heartbeat: (call = {}) => transport.duplex(NodesService.heartbeat, call),
    async *logs(request, call = {}) {
      for await (const chunk of transport.stream(PodsService.logs, request, call)) {
        if (chunk.data) yield chunk.data;
      }
    },
    exec: (call = {}) => transport.duplex(PodsService.exec, call),
    attach: (call = {}) => transport.duplex(PodsService.attach, call),
    portForward: (call = {}) => transport.duplex(PodsService.portForward, call),
    renewTls: (tls) => transport.renewTls?.(tls),
    close: () => transport.close(),
  };
}

function bindingOf({ pod: { namespace, name, uid }, nodeName }: PodBinding): Binding {
  return {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { namespace, name, ...(uid !== undefined && { uid }) },
    target: { apiVersion: "v1", kind: "Node", name: nodeName },
  };
}

/** Undefined: a success. */
function failureOf(status: Status | undefined): StatusError | undefined {
  if (status === undefined) return new StatusError(Code.unknown, "the answer lacks an outcome");
  const { status: word, reason = "", message = "" } = status;
  if (word === "Success") return undefined;
  return new StatusError(codeOfReason(reason) ?? Code.unknown, message, { reason });
}

function clientsByProperty(
  resource: <K extends KindName>(kind: K) => ResourceClient<ObjectTypes[K]>,
): ResourceClients {
  const clients = kindNames.map((kind) => [resources[kind].property, resource(kind)]);
  return Object.fromEntries(clients) as ResourceClients;
}
