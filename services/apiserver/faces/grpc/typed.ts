import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import {
  mapReady,
  type PiecewiseMessage,
  type RpcServer,
  serverStream,
  unary,
} from "../../../../ha/rpc/mod.ts";
import type {
  DeleteCollectionRequest,
  DeleteRequest,
  GetRequest,
  ListRequest,
  PatchRequest,
  WatchRequest,
} from "../../../../proto/gen/meta.ts";
import type { Resource } from "../../../kinds/mod.ts";
import type { WatchItem } from "../../storage/watch-item.ts";
import { audited } from "../../verbs/audited-call.ts";
import {
  create,
  get,
  list,
  patch,
  remove,
  removeCollection,
  update,
  watch,
} from "../../verbs/mod.ts";
import { callOf } from "./call.ts";
import type { Face } from "./face.ts";
import { typedList } from "./list-message.ts";
import {
  asBuffer,
  decoding,
  encodedRequests,
  isTrimmed,
  tellWarnings,
  writeOf,
} from "./requests.ts";
import { extraMethods } from "./typed-extras.ts";

/** Every kind's typed service: nine methods that are the same for all, and a few kinds' own. */
export function addTypedServices(server: RpcServer, face: Face): void {
  for (const resource of face.backend.registry) {
    const { service } = resource;
    if (service === undefined) continue;
    const extras = extraMethods(face, resource, service);
    server.addService(encodedDefinition(service), {
      ...commonMethods(face, resource, service),
      ...extras,
    });
  }
}

/** Methods that answer with an encoded message; reads give the bytes of the watch cache. */
const encodedAnswers = [
  ...["get", "list", "watch", "create", "update", "updateStatus", "updateApproval", "patch"],
  ...["updateEphemeralContainers", "updateResize"],
];

function encodedDefinition(service: ServiceDefinition): ServiceDefinition {
  const methods = Object.entries(service).map(([name, method]) => {
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

function commonMethods(
  face: Face,
  resource: Resource,
  service: ServiceDefinition,
): UntypedServiceImplementation {
  const { backend } = face;
  const decoded = decoding(face, resource, service);
  const enter = (context: Parameters<typeof callOf>[0]) => callOf(context, face);
  const updater = (subresource: "" | "status") =>
    unary(async (request: Buffer, context) => {
      const call = enter(context);
      const write = { ...writeOf(resource, request), typed: true, subresource };
      return tellWarnings(call, await update(backend, call, resource, write)).protobuf;
    });
  return {
    get: unary<GetRequest, Uint8Array>(async (request, context) => {
      const call = enter(context);
      return tellWarnings(call, await get(backend, call, resource, request)).protobuf;
    }),
    list: unary<ListRequest, PiecewiseMessage>(async (request, context) => {
      const call = enter(context);
      const trimmed = isTrimmed(context);
      const page = tellWarnings(call, await list(backend, call, resource, request));
      return typedList(resource, page, call, trimmed);
    }),
    watch: serverStream<WatchRequest, Uint8Array>((request, context) => {
      const call = enter(context);
      const toMessage = isTrimmed(context) ? trimmedOf : messageOf;
      const items = mapReady(watch(backend, call, resource, request), toMessage);
      return call.auditSource === undefined ? items : audited(call, items);
    }),
    create: unary<Buffer, Uint8Array>(async (request, context) => {
      const call = enter(context);
      return tellWarnings(call, await create(backend, call, resource, writeOf(resource, request)))
        .protobuf;
    }),
    update: updater(""),
    updateStatus: updater("status"),
    patch: decoded("patch", async (call, request: PatchRequest) => {
      const object = await patch(backend, call, resource, request);
      return object.protobuf;
    }),
    delete: decoded("delete", (call, request: DeleteRequest) =>
      remove(backend, call, resource, request),
    ),
    deleteCollection: decoded("deleteCollection", (call, request: DeleteCollectionRequest) =>
      removeCollection(backend, call, resource, request),
    ),
  };
}

function messageOf(item: WatchItem): Uint8Array {
  return item.message;
}

function trimmedOf(item: WatchItem): Uint8Array {
  return item.trimmed;
}
