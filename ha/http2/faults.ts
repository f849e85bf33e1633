/** The connection errors that frames are answered with. */
import { ConnectionError, ErrorCode } from "./codes.ts";

export function expectLength(what: string, length: number, expected: number): void {
  if (length === expected) return;
  const text = `${what} of ${length} bytes, not ${expected}`;
  throw new ConnectionError(ErrorCode.frameSizeError, text);
}

export function protocol(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.protocolError, what);
}

export function overWindow(what: string): ConnectionError {
  return new ConnectionError(ErrorCode.flowControlError, `over the limit: ${what}`);
}
