/** What a call ends with, from header blocks, resets and HTTP statuses; in grpc-js's words. */
import { ErrorCode, type HeaderBlock, type ResetCause } from "../../http2/mod.ts";
import { Code } from "../../runtime/status-error.ts";
import { CallFailure, pushbackMillis } from "../call-failure.ts";
import { percentDecode } from "../percent-encoding.ts";
import { detailsKey, pushbackKey, wireDetail } from "../status-details.ts";

/** grpc/grpc `doc/http-grpc-status-mapping.md`; any other status is unknown. */
const codesOfHttp: ReadonlyMap<string, Code> = new Map<string, Code>([
  ["400", Code.internal],
  ["401", Code.unauthenticated],
  ["403", Code.permissionDenied],
  ["404", Code.unimplemented],
  ["429", Code.unavailable],
  ["502", Code.unavailable],
  ["503", Code.unavailable],
  ["504", Code.unavailable],
]);

/** grpc/grpc `doc/PROTOCOL-HTTP2.md`, Errors; any other code is internal. */
const resets: ReadonlyMap<number, readonly [Code, string]> = new Map([
  [ErrorCode.refusedStream, [Code.unavailable, "Stream refused by server"]],
  [ErrorCode.cancel, [Code.cancelled, "Call cancelled"]],
  [
    ErrorCode.enhanceYourCalm,
    [Code.resourceExhausted, "Bandwidth exhausted or memory limit exceeded"],
  ],
  [ErrorCode.inadequateSecurity, [Code.permissionDenied, "Protocol not secure enough"]],
] as const);

/** By the block that ends an answer; undefined: the call was a success. */
export function failureOfTrailers(block: HeaderBlock): CallFailure | undefined {
  const status = block.get("grpc-status");
  if (status === "0") return undefined;
  if (status === undefined) return failureOfHttp(block.get(":status"));
  const known = /^(?:[1-9]|1[0-6])$/.test(status);
  const details = block.get(detailsKey);
  return new CallFailure(
    known ? (Number(status) as Code) : Code.unknown,
    percentDecode(block.get("grpc-message") ?? ""),
    {
      detail: details === undefined ? undefined : wireDetail(Buffer.from(details, "base64")),
      notBegun: block.get("trireme-retry") === "safe",
      pushbackMillis: pushbackMillis(block.get(pushbackKey)),
    },
  );
}

/** An answer without a gRPC status. */
export function failureOfHttp(status: string | undefined): CallFailure {
  if (status === undefined || status === "200") return failureOfReset(ErrorCode.noError, "peer");
  const code = codesOfHttp.get(status) ?? Code.unknown;
  return new CallFailure(code, `Received HTTP status code ${status}`, {
    unanswered: code === Code.unavailable,
  });
}

export function failureOfReset(code: number, cause: ResetCause): CallFailure {
  if (cause === "closed") {
    return new CallFailure(Code.unavailable, "Connection dropped", { unanswered: true });
  }
  const known = resets.get(code);
  if (known !== undefined) {
    const refused = code === ErrorCode.refusedStream;
    return new CallFailure(known[0], known[1], { notBegun: refused, unanswered: refused });
  }
  const why =
    code === ErrorCode.noError ? "Call ended without gRPC status" : "Internal server error";
  return new CallFailure(Code.internal, `Received RST_STREAM with code ${code} (${why})`);
}
