export {
  type CallSettings,
  type ClientConstructor,
  type ClientTls,
  type ConnectOptions,
  call,
  clientOptions,
  connect,
  parseAddress,
  serverStreamIterable,
} from "./client.ts";
export { DescriptorIndex, protoDescriptors } from "./descriptors.ts";
export { directStream } from "./direct.ts";
export type { Answers } from "./direct-call.ts";
export { prefixBytes as messagePrefixBytes, writeMessagePrefix } from "./engine/messages.ts";
export { codeOfReason, errorTable, httpCodeOf, reasonOf } from "./error-table.ts";
export { fromServiceError, toServiceError, toStatusDetail, toStatusDocument } from "./errors.ts";
export { type Adapted, bidiStream, clientStream, serverStream, unary } from "./handlers.ts";
export { addHealth, HealthRegistry, healthHandlers, ServingStatus } from "./health.ts";
export { rpcLimits } from "./limits.ts";
export { Listener, type PeerIdentity } from "./listener.ts";
export { PiecewiseMessage } from "./piecewise.ts";
export { addReflection } from "./reflection.ts";
export { createRpcServer } from "./server.ts";
export type {
  CallContext,
  PeerCertificate,
  RpcEngine,
  RpcServer,
  RpcServerOptions,
  ServerTls,
} from "./types.ts";
