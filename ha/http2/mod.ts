/**
 * One lean HTTP/2 engine, for servers, clients and what stands between them.
 *
 *     const connection = new Connection("server", handler);
 *     attachSocket(connection, socket);
 *
 * - A {@link Stream} is a record, made when a stream opens; keep what belongs to it in `user`.
 * - A {@link HeaderBlock} seen before is the same object again; keep what follows from it (a parsed
 *   route, a re-encoded block) in `attachment`.
 * - Header blocks to send are bytes made by {@link encodeHeaders}, valid on every connection.
 * - `onData` gives views of what arrived; give the bytes back with `consume` once they need no
 *   room. A proxy consumes on one side what the other side has taken (`data` said true, or
 *   `onWritable` came); then a slow reader slows its writer down.
 */
export { ConnectionError, ErrorCode } from "./codes.ts";
export { Connection } from "./connection.ts";
export type { ConnectionHandler, ResetCause } from "./handler.ts";
export { HeaderBlock } from "./header-block.ts";
export { encodeHeaders, FieldWriter } from "./hpack-encoder.ts";
export type { Http2Limits } from "./limits.ts";
export { attachSocket } from "./socket.ts";
export type { Stream } from "./stream.ts";
