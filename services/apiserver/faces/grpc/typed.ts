import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { type RpcServer, serverStream, unary } from "../../../../ha/rpc/mod.ts";
import type {
  DeleteCollectionRequest,
  DeleteRequest,
  GetRequest,
  ListRequest,
  PatchRequest,
  WatchRequest,
} from "../../../../proto/gen/meta.ts";
import type { Kind } from "../../../kinds/mod.ts";
import type { StoredObject } from "../../storage/stored-object.ts";
import { listMessage } from "../../storage/wire.ts";
import {
  callOf,
  create,
  decodeTypedWrite,
  get,
  list,
  patch,
  remove,
  removeCollection,
  update,
  watch,
} from "../../verbs/mod.ts";
import type { Face } from "./face.ts";
import { extraMethods } from "./typed-extras.ts";

/** Every kind's typed service: nine methods that are the same for all, and a few kinds' own. */
export function addTypedServices(server: RpcServer, face: Face, kinds: readonly Kind[]): void {
  for (const kind of kinds) {
    const extras = extraMethods(face, kind);
    server.addService(encodedDefinition(kind), { ...commonMethods(face, kind), ...extras });
  }
}

/** Methods that answer with an encoded message; reads give the bytes of the watch cache. */
const encodedAnswers = ["get", "list", "watch", "create", "update", "updateStatus", "patch"];
/** Methods whose request the handler decodes, because it looks for unknown fields in the bytes. */
const encodedRequests = ["create", "update", "updateStatus", "finalize", "updateScale"];

function encodedDefinition(kind: Kind): ServiceDefinition {
  const methods = Object.entries(kind.service).map(([name, method]) => {
    const answers = encodedAnswers.includes(name) || name === "finalize";
    return [
      name,
      {
        ...method,
        ...(answers && { responseSerialize: asBuffer }),
        ...(encodedRequests.includes(name) && { requestDeserialize: asBuffer }),
      },
    ];
  });
  return Object.fromEntries(methods) as ServiceDefinition;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function commonMethods(face: Face, kind: Kind): UntypedServiceImplementation {
  const { backend } = face;
  const enter = (context: Parameters<typeof callOf>[0]) => callOf(context, face.frontProxyNames);
  const updater = (subresource: "" | "status") =>
    unary(async (request: Buffer, context) => {
      const call = enter(context);
      const write = { ...decodeTypedWrite(call, kind, request), typed: true, subresource };
      return (await update(backend, call, kind, write)).protobuf;
    });
  return {
    get: unary<GetRequest, Uint8Array>(
      async (request, context) => (await get(backend, enter(context), kind, request)).protobuf,
    ),
    list: unary<ListRequest, Uint8Array>(async (request, context) => {
      const { metadata, items } = await list(backend, enter(context), kind, request);
      return listMessage(kind, metadata, items.map(protobufOf));
    }),
    watch: serverStream<WatchRequest, Uint8Array>((request, context) =>
      messages(watch(backend, enter(context), kind, request)),
    ),
    create: unary<Buffer, Uint8Array>(async (request, context) => {
      const call = enter(context);
      return (await create(backend, call, kind, decodeTypedWrite(call, kind, request))).protobuf;
    }),
    update: updater(""),
    updateStatus: updater("status"),
    patch: unary<PatchRequest, Uint8Array>(
      async (request, context) => (await patch(backend, enter(context), kind, request)).protobuf,
    ),
    delete: unary((request: DeleteRequest, context) =>
      remove(backend, enter(context), kind, request),
    ),
    deleteCollection: unary((request: DeleteCollectionRequest, context) =>
      removeCollection(backend, enter(context), kind, request),
    ),
  };
}

function protobufOf(object: StoredObject): Uint8Array {
  return object.protobuf;
}

async function* messages(items: ReturnType<typeof watch>): AsyncGenerator<Uint8Array, void> {
  for await (const item of items) yield item.message;
}
