import type { UntypedServiceImplementation } from "@grpc/grpc-js";
import { bidiStream, serverStream, unary } from "../../../../ha/rpc/mod.ts";
import type {
  Binding,
  Eviction,
  HeartbeatRequest,
  LogsRequest,
} from "../../../../proto/gen/core.ts";
import type { GetRequest } from "../../../../proto/gen/meta.ts";
import type { Kind } from "../../../kinds/mod.ts";
import { heartbeat } from "../../nodes/heartbeat.ts";
import { logs } from "../../nodes/logs.ts";
import {
  bind,
  callOf,
  decodeScaleWrite,
  decodeTypedWrite,
  evict,
  finalize,
  getScale,
  updateScale,
} from "../../verbs/mod.ts";
import type { Face } from "./face.ts";

/** The methods that only some kinds have; by the names in the generated definition. */
export function extraMethods(face: Face, kind: Kind): UntypedServiceImplementation {
  const { backend } = face;
  const enter = (context: Parameters<typeof callOf>[0]) => callOf(context, face.frontProxyNames);
  const all: UntypedServiceImplementation = {
    bind: unary((request: Binding, context) => bind(backend, enter(context), kind, request)),
    evict: unary((request: Eviction, context) => evict(backend, enter(context), kind, request)),
    logs: serverStream((request: LogsRequest, context) =>
      logs(face, enter(context), kind, request),
    ),
    finalize: unary(async (request: Buffer, context) => {
      const call = enter(context);
      const write = decodeTypedWrite(call, kind, request);
      return (await finalize(backend, call, kind, write)).protobuf;
    }),
    heartbeat: bidiStream((requests: AsyncIterable<HeartbeatRequest>, context) =>
      heartbeat(face, enter(context), kind, requests, context.signal),
    ),
    getScale: unary((request: GetRequest, context) =>
      getScale(backend, enter(context), kind, request),
    ),
    updateScale: unary((request: Buffer, context) => {
      const call = enter(context);
      return updateScale(backend, call, kind, decodeScaleWrite(call, kind, request));
    }),
  };
  return Object.fromEntries(
    Object.entries(all).filter(([name]) => Object.hasOwn(kind.service, name)),
  );
}
