/** Metadata, statuses and timeouts as header fields: grpc/grpc `doc/PROTOCOL-HTTP2.md`. */
import { Metadata } from "@grpc/grpc-js";
import { encodeHeaders, type HeaderBlock } from "../../http2/mod.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";
import { rpcLimits } from "../limits.ts";
import { percentEncode } from "../percent-encoding.ts";
import { cutEncoded, fitTrailers, trailerBudget } from "../trailers.ts";

/** Fields of a request that are the protocol's own. */
const protocolFields = new Set([
  "te",
  "content-type",
  "accept-encoding",
  "grpc-timeout",
  "grpc-encoding",
  "grpc-accept-encoding",
]);
/** Fields that a handler's metadata must not bring into an answer. */
const reservedFields = new Set([
  ...["te", "content-type", "content-length", "connection", "keep-alive", "proxy-connection"],
  ...["transfer-encoding", "upgrade", "host", "grpc-status", "grpc-message", "grpc-encoding"],
]);
const legalName = /^[0-9a-z_.-]+$/;
const legalValue = /^[ -~]*$/;

/**
 * The caller's metadata; fields that metadata cannot carry are left out. Of a field that comes
 * several times, handlers get what grpc-js gives them: one value, joined by commas, unless it is
 * binary.
 */
export function toMetadata(block: HeaderBlock): Metadata {
  const metadata = new Metadata();
  const { fields } = block;
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string;
    const value = fields[at + 1] as string;
    if (protocolFields.has(name) || !legalName.test(name)) continue;
    if (name.endsWith("-bin")) {
      for (const part of value.split(",")) metadata.add(name, Buffer.from(part.trim(), "base64"));
    } else if (legalValue.test(value)) {
      const before = metadata.get(name)[0];
      metadata.set(name, before === undefined ? value : `${String(before)}, ${value}`);
    }
  }
  return metadata;
}

/** Name and value alternately. */
export function fieldsOf(metadata: Metadata): string[] {
  const fields: string[] = [];
  for (const [name, value] of Object.entries(metadata.toHttp2Headers())) {
    if (value === undefined || reservedFields.has(name)) continue;
    for (const each of Array.isArray(value) ? value : [String(value)]) {
      fields.push(name, each.trim());
    }
  }
  return fields;
}

const head: readonly string[] = [":status", "200", "content-type", "application/grpc"];
export const okHead = encodeHeaders(head);
export const okTail = encodeHeaders(["grpc-status", "0"]);

export function headOf(metadata: Metadata): Uint8Array {
  return encodeHeaders([...head, ...fieldsOf(metadata)]);
}

export interface WireStatus {
  readonly code: number;
  readonly message: string;
  readonly metadata: Metadata | undefined;
}

/**
 * The trailers of a call, for a peer that takes header lists of so many bytes; with `whole`, an
 * answer of trailers alone.
 */
export function tailOf(
  status: WireStatus,
  whole: boolean,
  peerHeaderListBytes: number,
  more: readonly string[] = [],
): Uint8Array {
  const fields = [...(whole ? head : []), "grpc-status", String(status.code), ...more];
  const text = cutEncoded(percentEncode(status.message), rpcLimits.errorMessageBytes);
  if (text !== "") fields.push("grpc-message", text);
  if (status.metadata !== undefined) fields.push(...fieldsOf(status.metadata));
  return encodeHeaders(fitTrailers(fields, trailerBudget(peerHeaderListBytes)));
}

const unitMillis: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** Milliseconds, rounded up. Throws a StatusError. */
export function parseTimeout(text: string): number {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text);
  const unit = unitMillis[match?.[2] ?? ""];
  if (unit === undefined) {
    throw new StatusError(Code.internal, `grpc-timeout: "${text.slice(0, 32)}" is not a timeout`);
  }
  return Math.ceil(Number(match?.[1]) * unit);
}

/** What a handler's error, or anything thrown by it, is answered as; as grpc-js does it. */
export function statusOf(error: unknown, trailers: unknown): WireStatus {
  const given = error as { code?: unknown; details?: unknown; message?: unknown };
  const metadata = trailers ?? (error as { metadata?: unknown }).metadata;
  const known = typeof given.code === "number" && Number.isInteger(given.code);
  const text = known && typeof given.details === "string" ? given.details : given.message;
  return {
    code: known ? (given.code as number) : Code.unknown,
    message: typeof text === "string" ? text : "Unknown Error",
    metadata: metadata instanceof Metadata ? metadata : undefined,
  };
}

export function statusOfError(error: StatusError): WireStatus {
  return { code: error.code, message: error.message, metadata: undefined };
}
