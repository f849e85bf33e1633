export { type ClientTls, parseAddress } from "./address.ts";
export {
  type CallSettings,
  type ClientConstructor,
  call,
  connect,
  connectSocket,
  serverStreamIterable,
} from "./client.ts";

export { directStream } from "./direct.ts";
export type { Answers } from "./direct-call.ts";
export { duplexIterable } from "./duplex-client.ts";
export { DeadlineWheel, type Expiring } from "./engine/deadline-wheel.ts";
export { prefixBytes as messagePrefixBytes, writeMessagePrefix } from "./engine/messages.ts";
export { RequestBytes } from "./engine/request-bytes.ts";
export { codeOfReason, errorTable, httpCodeOf, reasonOf } from "./error-table.ts";
export { fromServiceError, toServiceError } from "./errors.ts";
export { bidiStream, clientStream, serverStream, unary } from "./handlers.ts";
export { addHealth, HealthRegistry, ServingStatus } from "./health.ts";
export { rpcLimits } from "./limits.ts";
export { Listener, type PeerIdentity } from "./listener.ts";

export { NotYet } from "./not-yet.ts";
export { PieceAnswer } from "./piece-answer.ts";
export { type PieceSource, PiecewiseMessage, pieceBytes, pieceTurns } from "./piecewise.ts";
export { mapReady, type ReadyIterator, readyIterator } from "./ready-iterator.ts";
export { addReflection } from "./reflection.ts";
export { createRpcServer } from "./server.ts";
export { toStatusDetail, toStatusDocument } from "./status-details.ts";
export type {
  CallContext,
  RpcEngine,
  RpcServer,
  RpcServerOptions,
  ServerTls,
} from "./types.ts";
