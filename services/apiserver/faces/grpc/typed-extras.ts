import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { bidiStream, serverStream, unary } from "../../../../ha/rpc/mod.ts";
import type {
  Binding,
  Eviction,
  HeartbeatRequest,
  LogsRequest,
} from "../../../../proto/gen/core.ts";
import type { GetRequest } from "../../../../proto/gen/meta.ts";
import type { Resource } from "../../../kinds/mod.ts";
import { heartbeat } from "../../nodes/heartbeat.ts";
import { logs } from "../../nodes/logs.ts";
import { bind, callOf, evict, finalize, getScale, updateScale } from "../../verbs/mod.ts";
import { decodeScaleWrite } from "../../verbs/wire-fields.ts";
import type { Face } from "./face.ts";
import { writeOf } from "./typed.ts";

/** The methods that only some kinds have; by the names in the generated definition. */
export function extraMethods(
  face: Face,
  resource: Resource,
  service: ServiceDefinition,
): UntypedServiceImplementation {
  const { backend } = face;
  const enter = (context: Parameters<typeof callOf>[0]) => callOf(context, face.authenticators);
  const all: UntypedServiceImplementation = {
    bind: unary((request: Binding, context) => bind(backend, enter(context), resource, request)),
    evict: unary((request: Eviction, context) => evict(backend, enter(context), resource, request)),
    logs: serverStream((request: LogsRequest, context) =>
      logs(face, enter(context), resource, request),
    ),
    finalize: unary(async (request: Buffer, context) => {
      const call = enter(context);
      return (await finalize(backend, call, resource, writeOf(resource, request))).protobuf;
    }),
    heartbeat: bidiStream((requests: AsyncIterable<HeartbeatRequest>, context) =>
      heartbeat(face, enter(context), resource, requests, context.signal),
    ),
    getScale: unary((request: GetRequest, context) =>
      getScale(backend, enter(context), resource, request),
    ),
    updateScale: unary((request: Buffer, context) => {
      const call = enter(context);
      return updateScale(backend, call, resource, decodeScaleWrite(call, resource, request));
    }),
  };
  return Object.fromEntries(Object.entries(all).filter(([name]) => Object.hasOwn(service, name)));
}
