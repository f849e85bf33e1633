/**
 * Errors on the wire: a {@link StatusError} travels as its canonical code, its message, and the
 * Kubernetes `Status` inside a `google.rpc.Status` in `grpc-status-details-bin`.
 */
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { Metadata, type ServiceError } from "@grpc/grpc-js";
import { Status as MetaStatus, type Status as MetaStatusMessage } from "../../proto/gen/meta.ts";
import { Status as RpcStatus } from "../../proto/gen/rpc_status.ts";
import { StatusError } from "../runtime/status-error.ts";
import { fieldsOf } from "./engine/wire-metadata.ts";
import { rpcLimits } from "./limits.ts";
import { percentEncode } from "./percent-encoding.ts";
import {
  detailsKey,
  pushbackKey,
  statusUrl,
  toStatusDocument,
  wireDetail,
} from "./status-details.ts";
import { cutEncoded, headerListBytes } from "./trailers.ts";

const retryInfoUrl = "type.googleapis.com/google.rpc.RetryInfo";

/**
 * What a grpc-js handler hands to its callback or emits as `error`. `trailers` are sent along.
 * Message and details are shortened to what fits into one budget with them (limits.ts).
 */
export function toServiceError(error: StatusError, trailers?: Metadata): ServiceError {
  // Lone surrogates cannot be encoded as a header and would make the answer itself fail.
  const message = shortened(error.message.toWellFormed());
  const metadata = trailers?.clone() ?? new Metadata();
  const { retryAfterSeconds } = error.detail ?? {};
  if (retryAfterSeconds !== undefined) {
    metadata.set(pushbackKey, String(Math.ceil(1000 * retryAfterSeconds)));
  }
  const sent = [...frameFields, "grpc-message", percentEncode(message), ...fieldsOf(metadata)];
  const room = rpcLimits.trailerBytes - headerListBytes([...sent, detailsKey, ""]);
  const details = encodeDetails(error, message, Math.floor((room * 3) / 4) - base64Padding);
  if (details !== undefined) metadata.set(detailsKey, details);
  return Object.assign(new Error(message), { code: error.code, details: message, metadata });
}

/** The other fields in the last header block of an answer. */
const frameFields = [":status", "200", "content-type", "application/grpc", "grpc-status", "16"];
const base64Padding = 3;

/**
 * In at most so many bytes: causes that have no room are left out, and the last one says how many;
 * then all details are. Undefined: not even the reason has room.
 */
function encodeDetails(error: StatusError, message: string, bytesMax: number): Buffer | undefined {
  const encode = (document: MetaStatusMessage, text: string): Buffer => {
    const said = { ...document, message: shortText(text) };
    const value = Buffer.from(MetaStatus.encode(said).finish());
    const details = [{ typeUrl: statusUrl, value }, ...retryInfoOf(error)];
    return Buffer.from(RpcStatus.encode({ code: error.code, message: text, details }).finish());
  };
  const whole = toStatusDocument(error);
  const { causes = [], ...rest } = whole.details ?? {};
  const details = {
    ...rest,
    ...(rest.name !== undefined && { name: shortText(rest.name) }),
    ...(rest.kind !== undefined && { kind: shortText(rest.kind) }),
    ...(rest.group !== undefined && { group: shortText(rest.group) }),
  };
  const short = causes.map(({ reason, message: text, field }) => ({
    reason: shortText(reason ?? ""),
    message: shortText(text ?? ""),
    field: shortText(field ?? ""),
  }));
  const { details: _, ...bare } = whole;
  const reduced = { ...bare, reason: shortText(bare.reason ?? "") };
  for (let kept = short.length; ; kept = Math.floor(kept / 2)) {
    const left = short.length - kept;
    const note = { ...omission, message: `${left} more causes are left out: ${omission.message}` };
    const list = left > 0 ? [...short.slice(0, kept), note] : short;
    const all = { ...details, ...(list.length > 0 && { causes: list }) };
    const document = Object.keys(all).length > 0 ? { ...reduced, details: all } : reduced;
    const bytes = encode(document, message);
    if (bytes.length <= bytesMax) return bytes;
    if (kept === 0) break;
  }
  // The message stands in `grpc-message`, too.
  const least = encode(reduced, "");
  return least.length <= bytesMax ? least : undefined;
}

/** `google.rpc.RetryInfo` (google/rpc/error_details.proto): retry_delay = 1, of seconds = 1. */
function retryInfoOf({ detail }: StatusError): { typeUrl: string; value: Buffer }[] {
  if (detail?.retryAfterSeconds === undefined) return [];
  const delay = new BinaryWriter().uint32(8).int64(Math.ceil(detail.retryAfterSeconds)).finish();
  const value = Buffer.from(new BinaryWriter().uint32(10).bytes(delay).finish());
  return [{ typeUrl: retryInfoUrl, value }];
}

/** The last cause of an error that has more of them than its answer has room for. */
const omission = { reason: "Omitted", message: "the answer has no room for them", field: "" };

function shortText(text: string): string {
  const limit = rpcLimits.errorDetailCharacters;
  return text.length > limit ? `${text.slice(0, limit).toWellFormed()}... [shortened]` : text;
}

/** The part of an error's message that goes on the wire. */
function shortened(text: string): string {
  const encoded = percentEncode(text);
  if (encoded.length <= rpcLimits.errorMessageBytes) return text;
  return decodeURIComponent(cutEncoded(encoded, rpcLimits.errorMessageBytes));
}

/**
 * What a client makes of an error that grpc-js gave it: the same StatusError that was thrown on the
 * other side. Anything that is not a gRPC error goes through {@link StatusError.from}.
 */
export function fromServiceError(thrown: unknown): StatusError {
  const plain = StatusError.from(thrown);
  if (plain === thrown || !isServiceError(thrown)) return plain;
  const detail = wireDetail(thrown.metadata?.get(detailsKey)[0]);
  return new StatusError(plain.code, plain.message, detail, { cause: thrown });
}

/** True for an error with a canonical code, such as a grpc-js client gives. */
export function isServiceError(thrown: unknown): thrown is ServiceError {
  if (!(thrown instanceof Error)) return false;
  const { code, details } = thrown as Partial<ServiceError>;
  return typeof code === "number" && code >= 1 && code <= 16 && typeof details === "string";
}
