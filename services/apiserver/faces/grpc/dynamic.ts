import type { ServiceDefinition } from "@grpc/grpc-js";
import type { CallContext } from "../../../../ha/rpc/mod.ts";
import { mapReady, type RpcServer, serverStream, unary } from "../../../../ha/rpc/mod.ts";
import type { Scale } from "../../../../proto/gen/autoscaling.ts";
import {
  type CreateRequest,
  type DeleteCollectionRequest,
  type DeleteRequest,
  type DiscoverRequest,
  type DiscoverResponse,
  type Document as DocumentMessage,
  DynamicService,
  type GetRequest,
  type ListRequest,
  type PatchRequest,
  type ResourceRef,
  type UpdateRequest,
  type UpdateScaleRequest,
  type WatchRequest,
} from "../../../../proto/gen/dynamic.ts";
import { apiVersionOf, parseJson, type Registry, type Resource } from "../../../kinds/mod.ts";
import { identify } from "../../auth/authenticate.ts";
import { badRequest, noSuchResource } from "../../errors.ts";
import { limits } from "../../limits.ts";
import { pathInfo } from "../../request-info.ts";
import type { StoredObject } from "../../storage/stored-object.ts";
import type { WatchItem } from "../../storage/watch-item.ts";
import { audited } from "../../verbs/audited-call.ts";
import type { Backend } from "../../verbs/backend.ts";
import { type Body, jsonBody } from "../../verbs/body.ts";
import type { Call } from "../../verbs/call.ts";
import {
  create,
  get,
  getScale,
  list,
  patch,
  remove,
  removeCollection,
  update,
  updateScale,
  watch,
} from "../../verbs/mod.ts";
import { authorizePath, callOf, credentialsOf } from "./call.ts";
import type { Face } from "./face.ts";
import { dynamicList } from "./list-message.ts";
import { asBuffer, isTrimmed } from "./requests.ts";

/** One service for objects of every kind, as JSON text (proto/dynamic.proto). */
export function addDynamicService(server: RpcServer, face: Face): void {
  const { backend } = face;
  const { registry } = backend;
  const enter = (context: CallContext) => callOf(context, face);
  const served = (ref: ResourceRef | undefined) => servedResource(backend, ref);
  const updater = (subresource: "" | "status") =>
    unary<UpdateRequest, DocumentMessage>(async (request, context) => {
      const call = enter(context);
      const { resource, body } = await writeOf(backend, request);
      const { namespace, options } = request;
      const write = { body, namespace, options, subresource, typed: false };
      return answer(call, await update(backend, call, resource, write));
    });
  server.addService(encodedEvents, {
    get: unary<GetRequest, DocumentMessage>(async (request, context) => {
      const call = enter(context);
      return answer(call, await get(backend, call, await served(request.ref), request.get ?? {}));
    }),
    list: unary<ListRequest, DocumentMessage>(async (request, context) => {
      const call = enter(context);
      const resource = await served(request.ref);
      const page = await list(backend, call, resource, request.list ?? {});
      return dynamicList(resource, page, call);
    }),
    watch: serverStream<WatchRequest, Uint8Array>((request, context) => {
      const call = enter(context);
      const encode = encodingOf(request, isTrimmed(context));
      const items = watchedBy(backend, call, request, encode);
      return call.auditSource === undefined ? items : audited(call, items);
    }),
    create: unary<CreateRequest, DocumentMessage>(async (request, context) => {
      const call = enter(context);
      const { resource, body } = await writeOf(backend, request);
      const { namespace, options } = request;
      const object = await create(backend, call, resource, { body, namespace, options });
      return resource.answersStatus ? text(call, success) : answer(call, object);
    }),
    update: updater(""),
    updateStatus: updater("status"),
    getScale: unary<GetRequest, Scale>(async (request, context) => {
      const call = enter(context);
      return getScale(backend, call, await served(request.ref), request.get ?? {});
    }),
    updateScale: unary<UpdateScaleRequest, Scale>(async (request, context) => {
      const call = enter(context);
      return updateScale(backend, call, await served(request.ref), request.write ?? {});
    }),
    patch: unary<PatchRequest, DocumentMessage>(async (request, context) => {
      const call = enter(context);
      return answer(
        call,
        await patch(backend, call, await served(request.ref), request.patch ?? {}),
      );
    }),
    delete: unary<DeleteRequest, DocumentMessage>(async (request, context) => {
      const call = enter(context);
      const resource = await served(request.ref);
      return text(call, await remove(backend, call, resource, request.delete ?? {}));
    }),
    deleteCollection: unary<DeleteCollectionRequest, DocumentMessage>(async (request, context) => {
      const call = enter(context);
      const resource = await served(request.ref);
      const selection = request.deleteCollection ?? {};
      return text(call, await removeCollection(backend, call, resource, selection));
    }),
    discover: unary<DiscoverRequest, DiscoverResponse>(async (request, context) => {
      const user = identify(face.authenticators, credentialsOf(context));
      authorizePath(backend, context, pathInfo(user, "/apis"));
      await backend.catchUp(limits.discoveryMillis);
      return discover(registry, request);
    }),
  });
}

/** Events are encoded once for all who watch the same. */
const encodedEvents: ServiceDefinition = {
  ...DynamicService,
  watch: { ...DynamicService.watch, responseSerialize: asBuffer },
};

function watchedBy(
  backend: Backend,
  call: Call,
  { ref, watch: options = {} }: WatchRequest,
  encode: (item: WatchItem) => Uint8Array,
): AsyncIterable<Uint8Array> {
  const begin = (resource: Resource) => mapReady(watch(backend, call, resource, options), encode);
  const served = resourceNamed(backend.registry, ref);
  return served === undefined ? begunLater(servedResource(backend, ref), begin) : begin(served);
}

async function* begunLater<T>(
  resource: Promise<Resource>,
  begin: (resource: Resource) => AsyncIterable<T>,
): AsyncGenerator<T, void> {
  yield* begin(await resource);
}

/** Throws BadRequest. */
function encodingOf({ changes }: WatchRequest, trimmed: boolean): (item: WatchItem) => Uint8Array {
  if (!changes) return trimmed ? trimmedOf : messageOf;
  if (trimmed) return changesOf;
  throw badRequest("changes: only come without managedFields (trireme-omit)");
}

function messageOf(item: WatchItem): Uint8Array {
  return item.json;
}

function trimmedOf(item: WatchItem): Uint8Array {
  return item.trimmedJson;
}

function changesOf(item: WatchItem): Uint8Array {
  return item.changes;
}

const success = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success" };

function answer(call: Call, object: StoredObject): DocumentMessage {
  return { json: object.json, warnings: call.warnings };
}

function text(call: Call, document: object): DocumentMessage {
  return { json: Buffer.from(JSON.stringify(document)), warnings: call.warnings };
}

/** Throws BadRequest for an empty reference. Undefined: it is not served. */
function resourceNamed(registry: Registry, ref: ResourceRef | undefined): Resource | undefined {
  const { apiVersion = "", kind = "", resource = "" } = ref ?? {};
  if (kind === "" && resource === "") throw badRequest("ref: kind or resource is required");
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : apiVersion.slice(0, slash);
  const found =
    kind !== "" && apiVersion !== ""
      ? registry.byKind(apiVersion, kind)
      : registry.find(kind === "" ? resource : kind, apiVersion === "" ? undefined : group);
  const fits = found !== undefined && (apiVersion === "" || apiVersionOf(found) === apiVersion);
  return !fits || (resource !== "" && registry.find(resource, found.group) !== found)
    ? undefined
    : found;
}

/** Looks again for what may be served only now. Throws BadRequest, NotFound. */
async function servedResource(backend: Backend, ref: ResourceRef | undefined): Promise<Resource> {
  const { registry } = backend;
  const served = resourceNamed(registry, ref);
  if (served !== undefined) return served;
  await backend.catchUp();
  const later = resourceNamed(registry, ref);
  if (later !== undefined) return later;
  const { apiVersion = "", kind = "", resource = "" } = ref ?? {};
  throw noSuchResource([apiVersion, kind, resource].filter((each) => each !== "").join(" "));
}

/** Without a reference, the object itself says what it is. */
async function writeOf(
  backend: Backend,
  request: { ref?: ResourceRef | undefined; json?: Uint8Array | undefined },
): Promise<{ readonly resource: Resource; readonly body: Body }> {
  const { json = Buffer.alloc(0), ref } = request;
  if (json.length === 0) throw badRequest("json: the object is required");
  if (ref?.kind || ref?.resource) {
    const resource = await servedResource(backend, ref);
    return { resource, body: jsonBody(resource, json) };
  }
  const { value } = parseJson(Buffer.from(json).toString("utf8"), limits.objectBytes);
  const { apiVersion, kind } = (value ?? {}) as { apiVersion?: unknown; kind?: unknown };
  if (typeof apiVersion !== "string" || typeof kind !== "string") {
    throw badRequest("json: apiVersion and kind are required when there is no ref");
  }
  const resource = await servedResource(backend, { apiVersion, kind });
  return { resource, body: jsonBody(resource, json) };
}

function discover(registry: Registry, request: DiscoverRequest): DiscoverResponse {
  const wanted = [...registry].filter(
    (resource) => request.group === undefined || resource.group === request.group,
  );
  const resources = wanted.map((resource) => {
    const { group, version, kind, plural, singular, namespaced, verbs } = resource;
    const shortNames = [...resource.shortNames];
    const lists = { shortNames, verbs: [...verbs], categories: [...resource.categories] };
    return { group, version, kind, plural, singular, namespaced, ...lists };
  });
  return { resources };
}
