/** SPDY/3.1, which Kubernetes' streams of exec, attach and port-forward run on. */
export { SpdyConnection } from "./connection.ts";
export { SpdyError } from "./error.ts";
export { type Frame, FrameReader, FrameWriter, frameBytesMax, ResetStatus } from "./frames.ts";
export type { Headers } from "./header-block.ts";
