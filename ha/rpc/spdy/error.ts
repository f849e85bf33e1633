/** The peer breaks the protocol: the connection ends. */
export class SpdyError extends Error {
  override readonly name = "SpdyError";
}
