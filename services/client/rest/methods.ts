/** What each method of the contracts asks of a REST API, and what its answer becomes. */
import { toStatusDocument } from "../../../ha/rpc/status-details.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Scale } from "../../../proto/gen/autoscaling.ts";
import { CertificateSigningRequestsService } from "../../../proto/gen/certificates.ts";
import {
  type Binding,
  type BindingBatch,
  type BindingOutcomes,
  type Eviction,
  NamespacesService,
  PodsService,
  ServiceAccountsService,
  type TokenRequest,
} from "../../../proto/gen/core.ts";
import {
  type CreateRequest,
  type DiscoverRequest,
  type DiscoverResponse,
  type DeleteRequest as DynamicDelete,
  type DeleteCollectionRequest as DynamicDeleteCollection,
  type GetRequest as DynamicGet,
  type ListRequest as DynamicList,
  type PatchRequest as DynamicPatch,
  DynamicService,
  type WatchRequest as DynamicWatch,
  type ResourceRef,
  type UpdateScaleRequest,
  type Document as WireDocument,
} from "../../../proto/gen/dynamic.ts";
import type {
  DeleteCollectionRequest,
  DeleteRequest,
  GetRequest,
  ListRequest,
  PatchRequest,
  Status,
  WatchRequest,
} from "../../../proto/gen/meta.ts";
import type { ApiObject } from "../types.ts";
import type { RestDiscovery } from "./discovery.ts";
import { nameItems, parseDocument } from "./documents.ts";
import {
  type ObjectWrite,
  type RestRequest,
  type RestResource,
  requests,
  resourceByService,
} from "./requests.ts";

export interface Answered {
  readonly body: Buffer;
  readonly warnings: string[];
}

/** What a method needs to be carried out. */
interface RestCall {
  readonly discovery: RestDiscovery;
  readonly omit: string | undefined;
  readonly signal: AbortSignal | undefined;
  /** Rejects with a StatusError. */
  ask(request: RestRequest): Promise<Answered>;
}

type WatchStart = RestRequest & {
  readonly timeoutSeconds: number | undefined;
  /** No other server than Trireme's has the kind. */
  readonly onlyTrireme: boolean;
};

interface Method {
  run(request: unknown, call: RestCall): Promise<unknown>;
  watch(request: unknown, discovery: RestDiscovery, signal?: AbortSignal): Promise<WatchStart>;
  /** An event as the method gives it. */
  wrap(type: string, object: ApiObject): unknown;
}

type Run<Request> = (request: Request, call: RestCall) => Promise<unknown>;

/** Bindings of one batch that are sent at once. */
const bindingsMax = 16;

/** Rejects with a StatusError for what only an apiserver of Trireme can do. */
export function findMethod(path: string): Method {
  const method = special.get(path) ?? dynamic.get(path) ?? typedMethod(path);
  if (method !== undefined) return method;
  throw new StatusError(Code.unimplemented, `${path} needs an apiserver of Trireme`);
}

/** A method of one answer. */
function unary<Request>(run: Run<Request>): Method {
  return {
    run: (request, call) => run(request as Request, call),
    watch: () => Promise.reject(new StatusError(Code.unimplemented, "the method has one answer")),
    wrap: (type, object) => ({ type, object }),
  };
}

const isOnlyTriremes = ({ group }: RestResource) => group.endsWith(".trireme.io");

async function object(asked: RestRequest, call: RestCall): Promise<ApiObject> {
  const { body } = await call.ask(asked);
  return body.length === 0 ? {} : parseDocument(body);
}

type TypedVerbs = Readonly<Record<string, (resource: RestResource) => Run<never>>>;

const typedVerbs: TypedVerbs = {
  Get: (resource) => (request: GetRequest, call) => object(requests.get(resource, request), call),
  List: (resource) => async (request: ListRequest, call) => {
    try {
      const list = parseDocument((await call.ask(requests.list(resource, request))).body);
      nameItems(list, call.omit);
      return list;
    } catch (thrown) {
      const { code } = StatusError.from(thrown);
      if (code !== Code.notFound || !isOnlyTriremes(resource)) throw thrown;
      return { metadata: { resourceVersion: "0" }, items: [] };
    }
  },
  Create: (resource) => (request: ObjectWrite, call) =>
    object(requests.create(resource, request), call),
  Update: (resource) => (request: ObjectWrite, call) =>
    object(requests.update(resource, request), call),
  UpdateStatus: (resource) => (request: ObjectWrite, call) =>
    object(requests.update(resource, request, "status"), call),
  Patch: (resource) => (request: PatchRequest, call) =>
    object(requests.patch(resource, request), call),
  Delete: (resource) => (request: DeleteRequest, call) =>
    object(requests.delete(resource, request), call),
  DeleteCollection: (resource) => (request: DeleteCollectionRequest, call) =>
    object(requests.deleteCollection(resource, request), call),
};

function typedMethod(path: string): Method | undefined {
  const slash = path.lastIndexOf("/") + 1;
  const resource = resourceByService.get(path.slice(0, slash));
  if (resource === undefined) return undefined;
  const verb = path.slice(slash);
  if (verb === "Watch") {
    return {
      ...unary(() => Promise.reject(new StatusError(Code.unimplemented, "a watch is a stream"))),
      watch: (request) => Promise.resolve(watchStart(resource, request as WatchRequest)),
    };
  }
  const run = typedVerbs[verb]?.(resource);
  return run === undefined ? undefined : unary(run);
}

function watchStart(resource: RestResource, request: WatchRequest): WatchStart {
  return {
    ...requests.watch(resource, request),
    timeoutSeconds: request.timeoutSeconds,
    onlyTrireme: isOnlyTriremes(resource),
  };
}

function resourceOf(service: string): RestResource {
  const resource = resourceByService.get(service);
  if (resource === undefined) throw new StatusError(Code.internal, `no service ${service}`);
  return resource;
}

const pods = () => resourceOf("/trireme.core.v1.Pods/");

function bind(binding: Binding, call: RestCall): Promise<ApiObject> {
  const target = { name: binding.metadata?.name, subresource: "binding" };
  return object(requests.create(pods(), { object: binding }, target), call);
}

/** What has become of each, in their order. */
async function bindAll({ items = [] }: BindingBatch, call: RestCall): Promise<BindingOutcomes> {
  const outcomes: Status[] = [];
  const queue = [...items.entries()];
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [index, binding] = next;
      try {
        await bind(binding, call);
        outcomes[index] = { status: "Success" };
      } catch (thrown) {
        outcomes[index] = toStatusDocument(StatusError.from(thrown));
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(bindingsMax, items.length) }, work));
  return { items: outcomes };
}

const special: ReadonlyMap<string, Method> = new Map<string, Method>([
  [PodsService.bind.path, unary(bind)],
  [PodsService.bindAll.path, unary(bindAll)],
  [
    PodsService.evict.path,
    unary((eviction: Eviction, call) => {
      const target = { name: eviction.metadata?.name, subresource: "eviction" };
      return object(requests.create(pods(), { object: eviction }, target), call);
    }),
  ],
  [
    ServiceAccountsService.createToken.path,
    unary((request: TokenRequest, call) => {
      const accounts = resourceOf("/trireme.core.v1.ServiceAccounts/");
      const target = { name: request.metadata?.name, subresource: "token" };
      return object(requests.create(accounts, { object: request }, target), call);
    }),
  ],
  [
    NamespacesService.finalize.path,
    unary((request: ObjectWrite, call) => {
      const namespaces = resourceOf("/trireme.core.v1.Namespaces/");
      return object(requests.update(namespaces, request, "finalize"), call);
    }),
  ],
  [
    CertificateSigningRequestsService.updateApproval.path,
    unary((request: ObjectWrite, call) => {
      const signing = resourceOf("/trireme.certificates.v1.CertificateSigningRequests/");
      return object(requests.update(signing, request, "approval"), call);
    }),
  ],
]);

interface Referring {
  readonly ref?: ResourceRef | undefined;
}

/** A method of the dynamic service that answers with a document as it comes. */
function documents<Request extends Referring>(
  make: (resource: RestResource, request: Request) => RestRequest,
): Method {
  return unary(async (request: Request, call): Promise<WireDocument> => {
    const resource = await call.discovery.find(request.ref, call.signal);
    const { body, warnings } = await call.ask(make(resource, request));
    return { json: body, warnings };
  });
}

/** The same with an object of the caller's, which names its kind. */
function writes(make: (resource: RestResource, write: ObjectWrite) => RestRequest): Method {
  return unary(async ({ json, ref, options }: CreateRequest, call): Promise<WireDocument> => {
    const written = parseDocument(Buffer.from(json ?? []));
    const resource = await call.discovery.find(ref ?? written, call.signal);
    const { body, warnings } = await call.ask(make(resource, { object: written, options }));
    return { json: body, warnings };
  });
}

async function scale(
  call: RestCall,
  ref: ResourceRef | undefined,
  make: (resource: RestResource) => RestRequest,
): Promise<Scale> {
  return object(make(await call.discovery.find(ref, call.signal)), call);
}

const dynamic: ReadonlyMap<string, Method> = new Map<string, Method>([
  [
    DynamicService.discover.path,
    unary(async ({ group }: DiscoverRequest, call): Promise<DiscoverResponse> => {
      return { resources: await call.discovery.all(group, call.signal) };
    }),
  ],
  [
    DynamicService.get.path,
    documents<DynamicGet>((resource, { get = {} }) => requests.get(resource, get)),
  ],
  [
    DynamicService.list.path,
    unary(async ({ ref, list = {} }: DynamicList, call): Promise<WireDocument> => {
      const resource = await call.discovery.find(ref, call.signal);
      const { body } = await call.ask(requests.list(resource, list));
      const document = parseDocument(body);
      nameItems(document, undefined);
      return { json: Buffer.from(JSON.stringify(document)) };
    }),
  ],
  [
    DynamicService.watch.path,
    {
      ...unary(() => Promise.reject(new StatusError(Code.unimplemented, "a watch is a stream"))),
      async watch(request, discovery, signal) {
        const { ref, watch = {} } = request as DynamicWatch;
        return watchStart(await discovery.find(ref, signal), watch);
      },
      wrap: (type, object) => ({ type, json: Buffer.from(JSON.stringify(object)) }),
    },
  ],
  [DynamicService.create.path, writes((resource, write) => requests.create(resource, write))],
  [DynamicService.update.path, writes((resource, write) => requests.update(resource, write))],
  [
    DynamicService.updateStatus.path,
    writes((resource, write) => requests.update(resource, write, "status")),
  ],
  [
    DynamicService.patch.path,
    documents<DynamicPatch>((resource, { patch = {} }) => requests.patch(resource, patch)),
  ],
  [
    DynamicService.delete.path,
    documents<DynamicDelete>((resource, request) =>
      requests.delete(resource, request.delete ?? {}),
    ),
  ],
  [
    DynamicService.deleteCollection.path,
    documents<DynamicDeleteCollection>((resource, { deleteCollection = {} }) =>
      requests.deleteCollection(resource, deleteCollection),
    ),
  ],
  [
    DynamicService.getScale.path,
    unary(({ ref, get = {} }: DynamicGet, call) =>
      scale(call, ref, (resource) => requests.get(resource, get, "scale")),
    ),
  ],
  [
    DynamicService.updateScale.path,
    unary(({ ref, write = {} }: UpdateScaleRequest, call) =>
      scale(call, ref, (resource) => requests.update(resource, write, "scale")),
    ),
  ],
]);
