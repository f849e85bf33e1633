/**
 * Errors on the wire: a {@link StatusError} travels as its canonical code, its message, and the
 * Kubernetes `Status` inside a `google.rpc.Status` in `grpc-status-details-bin`.
 */
import { Metadata, type ServiceError } from "@grpc/grpc-js";
import {
  Status as MetaStatus,
  type Status as MetaStatusMessage,
  type StatusCause,
} from "../../proto/gen/meta.ts";
import { Status as RpcStatus } from "../../proto/gen/rpc_status.ts";
import { Code, type FieldCause, type StatusDetail, StatusError } from "../runtime/status-error.ts";
import { httpCodeOf, reasonOf } from "./error-table.ts";
import { rpcLimits } from "./limits.ts";

export const detailsKey = "grpc-status-details-bin";
const statusUrl = "type.googleapis.com/trireme.meta.v1.Status";

/** The error as the Kubernetes document that REST answers with and gRPC carries as detail. */
export function toStatusDocument(error: StatusError): MetaStatusMessage {
  const detail = error.detail;
  const causes = detail?.causes ?? [];
  const details = {
    ...(detail?.name !== undefined && { name: detail.name }),
    ...(detail?.group !== undefined && { group: detail.group }),
    ...(detail?.kind !== undefined && { kind: detail.kind }),
    ...(causes.length > 0 && { causes: causes.map((cause) => ({ ...cause })) }),
    ...(detail?.retryAfterSeconds !== undefined && {
      retryAfterSeconds: detail.retryAfterSeconds,
    }),
  };
  return {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: error.message,
    reason: reasonOf(error),
    ...(Object.keys(details).length > 0 && { details }),
    code: httpCodeOf(error),
  };
}

/** The other direction; undefined for a document that says no more than a code does. */
export function toStatusDetail(document: MetaStatusMessage): StatusDetail | undefined {
  if (document.reason === undefined || document.reason === "") return undefined;
  const { name, group, kind, causes, retryAfterSeconds } = document.details ?? {};
  return {
    reason: document.reason,
    ...(group !== undefined && { group }),
    ...(kind !== undefined && { kind }),
    ...(name !== undefined && { name }),
    ...(causes !== undefined && causes.length > 0 && { causes: causes.map(toFieldCause) }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  };
}

function toFieldCause(cause: StatusCause): FieldCause {
  return { reason: cause.reason ?? "", message: cause.message ?? "", field: cause.field ?? "" };
}

/**
 * What a grpc-js handler hands to its callback or emits as `error`. `trailers` are sent along.
 * Message and causes are shortened to what fits into headers (limits.ts).
 */
export function toServiceError(error: StatusError, trailers?: Metadata): ServiceError {
  // Lone surrogates cannot be encoded as a header and would make the answer itself fail.
  const message = shortened(error.message).toWellFormed();
  const metadata = trailers?.clone() ?? new Metadata();
  metadata.set(detailsKey, encodeDetails(error, message));
  return Object.assign(new Error(message), { code: error.code, details: message, metadata });
}

function encodeDetails(error: StatusError, message: string): Buffer {
  const document = { ...toStatusDocument(error), message };
  for (;;) {
    const value = Buffer.from(MetaStatus.encode(document).finish());
    const causes = document.details?.causes;
    if (value.length <= rpcLimits.errorDetailBytes || causes === undefined) {
      const details = [{ typeUrl: statusUrl, value }];
      return Buffer.from(RpcStatus.encode({ code: error.code, message, details }).finish());
    }
    const kept = causes.slice(0, Math.floor(causes.length / 2));
    const { causes: _, ...rest } = document.details ?? {};
    document.details = kept.length > 0 ? { ...rest, causes: kept } : rest;
  }
}

/** What of an error's message goes on the wire. */
export function shortened(text: string): string {
  const limit = rpcLimits.errorMessageCharacters;
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}

/**
 * What a client makes of an error that grpc-js gave it: the same StatusError that was thrown on the
 * other side. Anything that is not a gRPC error goes through {@link StatusError.from}.
 */
export function fromServiceError(thrown: unknown): StatusError {
  const plain = StatusError.from(thrown);
  if (plain === thrown || !isServiceError(thrown)) return plain;
  const document = decodeDetails(thrown.metadata);
  const detail = document && toStatusDetail(document);
  return new StatusError(plain.code, plain.message, detail, { cause: thrown });
}

/** True for an error with a canonical code, such as a grpc-js client gives. */
export function isServiceError(thrown: unknown): thrown is ServiceError {
  if (!(thrown instanceof Error)) return false;
  const { code, details } = thrown as Partial<ServiceError>;
  return typeof code === "number" && code >= 1 && code <= 16 && typeof details === "string";
}

function decodeDetails(metadata: Metadata | undefined): MetaStatusMessage | undefined {
  const bytes = metadata?.get(detailsKey)[0];
  if (!Buffer.isBuffer(bytes)) return undefined;
  try {
    const any = RpcStatus.decode(bytes).details?.find((detail) => detail.typeUrl === statusUrl);
    return any?.value === undefined ? undefined : MetaStatus.decode(any.value);
  } catch {
    // Foreign or damaged details lose us the reason only: code and message came separately.
    return undefined;
  }
}

/** The error of a call whose caller went away. */
export function cancelledError(): StatusError {
  return new StatusError(Code.cancelled, "the caller cancelled the call");
}
