/**
 * The Kubernetes part of an error, as documents and as `grpc-status-details-bin` carry it. What
 * stands here needs no gRPC library.
 */
import {
  Status as MetaStatus,
  type Status as MetaStatusMessage,
  type StatusCause,
} from "../../proto/gen/meta.ts";
import { Status as RpcStatus } from "../../proto/gen/rpc_status.ts";
import { Code, type FieldCause, type StatusDetail, StatusError } from "../runtime/status-error.ts";
import { httpCodeOf, reasonOf } from "./error-table.ts";

export const detailsKey = "grpc-status-details-bin";
export const statusUrl = "type.googleapis.com/trireme.meta.v1.Status";
/** When a client's retry policy may try again (gRPC proposal A6). */
export const pushbackKey = "grpc-retry-pushback-ms";

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
    metadata: detail?.continueToken === undefined ? {} : { continue: detail.continueToken },
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
  const continueToken = document.metadata?.continue ?? "";
  return {
    reason: document.reason,
    ...(group !== undefined && { group }),
    ...(kind !== undefined && { kind }),
    ...(name !== undefined && { name }),
    ...(causes !== undefined && causes.length > 0 && { causes: causes.map(toFieldCause) }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    ...(continueToken !== "" && { continueToken }),
  };
}

function toFieldCause(cause: StatusCause): FieldCause {
  return { reason: cause.reason ?? "", message: cause.message ?? "", field: cause.field ?? "" };
}

/** What `grpc-status-details-bin` says; undefined without it. */
export function wireDetail(bytes: unknown): StatusDetail | undefined {
  if (!(bytes instanceof Uint8Array)) return undefined;
  try {
    const any = RpcStatus.decode(bytes).details?.find((detail) => detail.typeUrl === statusUrl);
    return any?.value === undefined ? undefined : toStatusDetail(MetaStatus.decode(any.value));
  } catch {
    // Foreign or damaged details lose us the reason only: code and message came separately.
    return undefined;
  }
}

/** The error of a call whose caller went away. */
export function cancelledError(): StatusError {
  return new StatusError(Code.cancelled, "the caller cancelled the call");
}
