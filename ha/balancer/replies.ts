/** Replies that the balancer gives itself. */
import { toServiceError } from "../rpc/errors.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Failure } from "./calls.ts";
import { ReplyFields } from "./reply-fields.ts";

/** Trailers of an error, with the Kubernetes `Status` that masters also send. */
export function errorTrailers(code: Code, message: string): ReplyFields {
  const error = toServiceError(new StatusError(code, message));
  // grpc-message is percent-encoded (grpc/grpc doc/PROTOCOL-HTTP2.md).
  const fields = ["grpc-status", String(code), "grpc-message", encodeURI(error.details)];
  for (const [name, values] of Object.entries(error.metadata.toHttp2Headers())) {
    for (const value of [values ?? []].flat()) fields.push(name, String(value));
  }
  return new ReplyFields(fields);
}

export const okTrailers = new ReplyFields(["grpc-status", "0"]);

/** What a client is told of an outgoing call that failed for good. */
export function describeFailure(
  failure: Failure,
  master: string,
): { readonly code: Code; readonly message: string } {
  const unavailable = (message: string) => ({ code: Code.unavailable, message });
  if (failure.kind === "lost") return unavailable(`${master} went away`);
  if (failure.kind === "refused") return unavailable(`${master} takes no more calls`);
  const { code, text } = resetCodes[failure.code] ?? {
    code: Code.internal,
    text: `with HTTP/2 error ${failure.code}`,
  };
  return { code, message: `${master} reset the call ${text}` };
}

/** By HTTP/2 error code (RFC 9113 section 7); codes as in grpc/grpc `doc/PROTOCOL-HTTP2.md`. */
const resetCodes: Readonly<Record<number, { readonly code: Code; readonly text: string }>> = {
  1: { code: Code.internal, text: "for a protocol error, or did not answer as gRPC" },
  3: { code: Code.internal, text: "for a flow-control error" },
  6: { code: Code.resourceExhausted, text: "for a frame beyond its limit" },
  11: { code: Code.resourceExhausted, text: "for headers beyond a limit" },
  12: { code: Code.permissionDenied, text: "because the transport is not secure enough" },
};
