import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { bidiStream, serverStream, unary } from "../../../../ha/rpc/mod.ts";
import type { ScaleWrite } from "../../../../proto/gen/autoscaling.ts";
import type {
  Binding,
  BindingBatch,
  Eviction,
  ExecRequest,
  HeartbeatRequest,
  LogsRequest,
  PortForwardRequest,
  TokenRequest,
} from "../../../../proto/gen/core.ts";
import type { GetRequest } from "../../../../proto/gen/meta.ts";
import { ephemeralContainersPart, type Resource, resizePart } from "../../../kinds/mod.ts";
import { session } from "../../nodes/exec.ts";
import { heartbeat } from "../../nodes/heartbeat.ts";
import { logs } from "../../nodes/logs.ts";
import { portForward } from "../../nodes/port-forward.ts";
import { audited } from "../../verbs/audited-call.ts";
import {
  bind,
  bindAll,
  type Call,
  evict,
  finalize,
  getScale,
  update,
  updateScale,
} from "../../verbs/mod.ts";
import { type ObjectPart, updatePart } from "../../verbs/part.ts";
import { createToken } from "../../verbs/tokens.ts";
import { callOf } from "./call.ts";
import type { Face } from "./face.ts";
import { decoding, tellWarnings, writeOf } from "./requests.ts";

/** The methods that only some kinds have; by the names in the generated definition. */
export function extraMethods(
  face: Face,
  resource: Resource,
  service: ServiceDefinition,
): UntypedServiceImplementation {
  const { backend } = face;
  const enter = (context: Parameters<typeof callOf>[0]) => callOf(context, face);
  const decoded = decoding(face, resource, service);
  const streamed = <T>(
    context: Parameters<typeof callOf>[0],
    open: (call: Call) => AsyncIterable<T>,
  ): AsyncIterable<T> => {
    const call = enter(context);
    const items = open(call);
    return call.auditSource === undefined ? items : audited(call, items);
  };
  const partUpdater = (part: ObjectPart) =>
    unary(async (request: Buffer, context) => {
      const call = enter(context);
      const write = { ...writeOf(resource, request), typed: true };
      return tellWarnings(call, await updatePart(backend, call, resource, part, write)).protobuf;
    });
  const all: UntypedServiceImplementation = {
    bind: decoded("bind", (call, request: Binding) => bind(backend, call, resource, request)),
    bindAll: decoded("bindAll", (call, batch: BindingBatch) =>
      bindAll(backend, call, resource, batch),
    ),
    evict: decoded("evict", (call, request: Eviction) => evict(backend, call, resource, request)),
    logs: serverStream((request: LogsRequest, context) =>
      streamed(context, (call) => logs(face, call, resource, request)),
    ),
    exec: bidiStream((requests: AsyncIterable<ExecRequest>, context) =>
      streamed(context, (call) => session(face, call, resource, "exec", requests)),
    ),
    attach: bidiStream((requests: AsyncIterable<ExecRequest>, context) =>
      streamed(context, (call) => session(face, call, resource, "attach", requests)),
    ),
    portForward: bidiStream((requests: AsyncIterable<PortForwardRequest>, context) =>
      streamed(context, (call) => portForward(face, call, resource, requests)),
    ),
    finalize: unary(async (request: Buffer, context) => {
      const call = enter(context);
      return tellWarnings(call, await finalize(backend, call, resource, writeOf(resource, request)))
        .protobuf;
    }),
    heartbeat: bidiStream((requests: AsyncIterable<HeartbeatRequest>, context) =>
      streamed(context, (call) => heartbeat(face, call, resource, requests, context.signal)),
    ),
    updateApproval: unary(async (request: Buffer, context) => {
      const call = enter(context);
      const write = { ...writeOf(resource, request), typed: true, subresource: "approval" };
      return tellWarnings(call, await update(backend, call, resource, write)).protobuf;
    }),
    updateEphemeralContainers: partUpdater(ephemeralContainersPart),
    updateResize: partUpdater(resizePart),
    getScale: unary((request: GetRequest, context) =>
      getScale(backend, enter(context), resource, request),
    ),
    createToken: decoded("createToken", (call, request: TokenRequest) =>
      createToken(backend, call, resource, request),
    ),
    updateScale: decoded("updateScale", (call, request: ScaleWrite) =>
      updateScale(backend, call, resource, request),
    ),
  };
  return Object.fromEntries(Object.entries(all).filter(([name]) => Object.hasOwn(service, name)));
}
