/** Messages of a method as bytes of its calls. */
import type { MethodDefinition } from "@grpc/grpc-js";
import { Code, StatusError } from "../../runtime/status-error.ts";
import { CallFailure } from "../call-failure.ts";
import { frameMessage } from "../engine/messages.ts";

/** With its prefix. Throws a CallFailure. */
export function requestMessage<Request, Response>(
  method: MethodDefinition<Request, Response>,
  request: Request,
  maxBytes: number,
): Buffer {
  let bytes: Uint8Array;
  try {
    bytes = method.requestSerialize(request);
  } catch (thrown) {
    const { message } = StatusError.from(thrown);
    throw new CallFailure(Code.internal, `Request message serialization failure: ${message}`);
  }
  if (bytes.length > maxBytes) {
    const text = `Attempted to send message with a size larger than ${maxBytes}`;
    throw new CallFailure(Code.resourceExhausted, text);
  }
  return frameMessage(bytes);
}

export function parsingFailure(thrown: unknown): CallFailure {
  const { message } = StatusError.from(thrown);
  return new CallFailure(Code.internal, `Response message parsing error: ${message}`);
}
