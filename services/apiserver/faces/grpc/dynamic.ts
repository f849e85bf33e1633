import type { CallContext } from "../../../../ha/rpc/mod.ts";
import { type RpcServer, serverStream, unary } from "../../../../ha/rpc/mod.ts";
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
  type WatchEvent,
  type WatchRequest,
} from "../../../../proto/gen/dynamic.ts";
import {
  apiVersionOf,
  type Kind,
  kindByResource,
  kindOf,
  kinds,
  parseJson,
} from "../../../kinds/mod.ts";
import { badRequest, noSuchResource } from "../../errors.ts";
import { limits } from "../../limits.ts";
import type { StoredObject } from "../../storage/stored-object.ts";
import type { Call } from "../../verbs/call.ts";
import {
  callOf,
  create,
  decodeJson,
  get,
  type ListPage,
  list,
  patch,
  remove,
  removeCollection,
  update,
  watch,
} from "../../verbs/mod.ts";
import type { Face } from "./face.ts";

/** One service for objects of every kind, as JSON text (proto/dynamic.proto). */
export function addDynamicService(server: RpcServer, face: Face): void {
  const { backend } = face;
  const enter = (context: CallContext) => callOf(context, face.frontProxyNames);
  const updater = (subresource: "" | "status") =>
    unary<UpdateRequest, DocumentMessage>(async (request, context) => {
      const call = enter(context);
      const kind = kindOfWrite(request);
      const document = decodeJson(call, kind, request.json ?? Buffer.alloc(0), request.options);
      const { namespace, options } = request;
      const write = { document, namespace, options, subresource, typed: false };
      return answer(call, await update(backend, call, kind, write));
    });
  server.addService(DynamicService, {
    get: unary<GetRequest, DocumentMessage>(async (request, context) => {
      const call = enter(context);
      return answer(call, await get(backend, call, kindOfRef(request.ref), request.get ?? {}));
    }),
    list: unary<ListRequest, DocumentMessage>(async (request, context) => {
      const call = enter(context);
      const kind = kindOfRef(request.ref);
      const page = await list(backend, call, kind, request.list ?? {});
      return { json: listJson(kind, page), warnings: call.warnings };
    }),
    watch: serverStream<WatchRequest, WatchEvent>((request, context) =>
      events(watch(backend, enter(context), kindOfRef(request.ref), request.watch ?? {})),
    ),
    create: unary<CreateRequest, DocumentMessage>(async (request, context) => {
      const call = enter(context);
      const kind = kindOfWrite(request);
      const document = decodeJson(call, kind, request.json ?? Buffer.alloc(0), request.options);
      const { namespace, options } = request;
      return answer(call, await create(backend, call, kind, { document, namespace, options }));
    }),
    update: updater(""),
    updateStatus: updater("status"),
    patch: unary<PatchRequest, DocumentMessage>(async (request, context) => {
      const call = enter(context);
      return answer(call, await patch(backend, call, kindOfRef(request.ref), request.patch ?? {}));
    }),
    delete: unary<DeleteRequest, DocumentMessage>(async (request, context) => {
      const call = enter(context);
      const kind = kindOfRef(request.ref);
      return text(call, await remove(backend, call, kind, request.delete ?? {}));
    }),
    deleteCollection: unary<DeleteCollectionRequest, DocumentMessage>(async (request, context) => {
      const call = enter(context);
      const kind = kindOfRef(request.ref);
      const selection = request.deleteCollection ?? {};
      return text(call, await removeCollection(backend, call, kind, selection));
    }),
    discover: unary<DiscoverRequest, DiscoverResponse>(async (request) => discover(request)),
  });
}

function answer(call: Call, object: StoredObject): DocumentMessage {
  return { json: object.json, warnings: call.warnings };
}

function text(call: Call, document: object): DocumentMessage {
  return { json: Buffer.from(JSON.stringify(document)), warnings: call.warnings };
}

async function* events(items: ReturnType<typeof watch>): AsyncGenerator<WatchEvent, void> {
  for await (const { type, object } of items) yield { type, json: object.json };
}

/** The items are pasted in as the text the cache holds. */
function listJson(kind: Kind, page: ListPage): Buffer {
  const { metadata } = page;
  const head = { apiVersion: apiVersionOf(kind), kind: `${kind.kind}List`, metadata };
  const parts: Buffer[] = [Buffer.from(`${JSON.stringify(head).slice(0, -1)},"items":[`)];
  const comma = Buffer.from(",");
  for (const [index, object] of page.items.entries()) {
    if (index > 0) parts.push(comma);
    parts.push(object.json);
  }
  parts.push(Buffer.from("]}"));
  return Buffer.concat(parts);
}

/** Throws BadRequest for an empty reference, NotFound for an unknown kind. */
function kindOfRef(ref: ResourceRef | undefined): Kind {
  const { apiVersion = "", kind = "", resource = "" } = ref ?? {};
  if (kind === "" && resource === "") throw badRequest("ref: kind or resource is required");
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : apiVersion.slice(0, slash);
  const found =
    kind !== "" && apiVersion !== ""
      ? kindOf(apiVersion, kind)
      : kind !== ""
        ? kinds.find((each) => each.kind === kind)
        : kindByResource(resource, apiVersion === "" ? undefined : group);
  const fits = found !== undefined && (apiVersion === "" || apiVersionOf(found) === apiVersion);
  if (!fits || (resource !== "" && kindByResource(resource, found.group) !== found)) {
    throw noSuchResource([apiVersion, kind, resource].filter((each) => each !== "").join(" "));
  }
  return found;
}

/** Without a reference, the object itself says what it is. */
function kindOfWrite(request: { ref?: ResourceRef | undefined; json?: Uint8Array | undefined }) {
  const { json = Buffer.alloc(0), ref } = request;
  if (json.length === 0) throw badRequest("json: the object is required");
  if (ref?.kind || ref?.resource) return kindOfRef(ref);
  const { value } = parseJson(Buffer.from(json).toString("utf8"), limits.objectBytes);
  const { apiVersion, kind } = (value ?? {}) as { apiVersion?: unknown; kind?: unknown };
  if (typeof apiVersion !== "string" || typeof kind !== "string") {
    throw badRequest("json: apiVersion and kind are required when there is no ref");
  }
  return kindOfRef({ apiVersion, kind });
}

const verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

function discover(request: DiscoverRequest): DiscoverResponse {
  const wanted = kinds.filter(
    (kind) => request.group === undefined || kind.group === request.group,
  );
  const resources = wanted.map((kind) => {
    const { group, version, plural, singular, namespaced } = kind;
    const shortNames = [...kind.shortNames];
    return { group, version, kind: kind.kind, plural, singular, shortNames, namespaced, verbs };
  });
  return { resources };
}
