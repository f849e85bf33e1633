/**
 * What the interop cases need of `grpc.testing`'s messages (grpc/grpc-proto
 * `grpc/testing/messages.proto`), read and written field by field.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** A status that the caller wants to be answered with. */
interface EchoStatus {
  readonly code: number;
  readonly message: string;
}

/** SimpleRequest and StreamingOutputCallRequest, as far as a server acts on them. */
export interface Wanted {
  /** Bytes of the payload to answer with. */
  readonly responseSize: number;
  /** Bytes of each of the payloads to stream back. */
  readonly responseSizes: readonly number[];
  readonly status: EchoStatus | undefined;
  readonly fillServerId: boolean;
}

export interface Answer {
  readonly payloadBytes: number;
  readonly serverId?: string | undefined;
}

/** Without fields. */
export type Empty = Readonly<Record<string, never>>;

type Fields = ReadonlyMap<number, readonly (number | Buffer)[]>;

/** Values by field number; numbers of varints, bytes of everything with a length. */
function read(bytes: Uint8Array): Fields {
  const fields = new Map<number, (number | Buffer)[]>();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    const values = fields.get(number) ?? [];
    fields.set(number, values);
    if (type === WireType.Varint) values.push(Number(reader.int64()));
    else if (type === WireType.LengthDelimited) values.push(Buffer.from(reader.bytes()));
    else reader.skip(type, number);
  }
  return fields;
}

const last = (fields: Fields, number: number) => fields.get(number)?.at(-1);
const int = (value: number | Buffer | undefined) => (typeof value === "number" ? value : 0);
const message = (value: number | Buffer | undefined) =>
  Buffer.isBuffer(value) ? read(value) : undefined;

function statusOf(fields: Fields): EchoStatus | undefined {
  const status = message(last(fields, 7));
  if (status === undefined || int(last(status, 1)) === 0) return undefined;
  return { code: int(last(status, 1)), message: String(last(status, 2) ?? "") };
}

export function decodeSimpleRequest(bytes: Buffer): Wanted {
  const fields = read(bytes);
  return {
    responseSize: int(last(fields, 2)),
    responseSizes: [],
    status: statusOf(fields),
    fillServerId: int(last(fields, 9)) !== 0,
  };
}

export function decodeOutputRequest(bytes: Buffer): Wanted {
  const fields = read(bytes);
  const sizes = (fields.get(2) ?? []).map((value) => message(value));
  return {
    responseSize: 0,
    responseSizes: sizes.map((each) => (each === undefined ? 0 : int(last(each, 1)))),
    status: statusOf(fields),
    fillServerId: false,
  };
}

/** Bytes of the payload of a StreamingInputCallRequest. */
export function decodeInputRequest(bytes: Buffer): number {
  const body = last(message(last(read(bytes), 1)) ?? new Map(), 2);
  return Buffer.isBuffer(body) ? body.length : 0;
}

/** A SimpleRequest with a payload of zeros. */
export function encodeSimpleRequest(responseSize: number, payloadBytes: number): Buffer {
  const writer = new BinaryWriter();
  writer.tag(2, WireType.Varint).int32(responseSize);
  writer.tag(3, WireType.LengthDelimited).fork();
  writer.tag(2, WireType.LengthDelimited).bytes(Buffer.alloc(payloadBytes)).join();
  return Buffer.from(writer.finish());
}

/** SimpleResponse and StreamingOutputCallResponse, whose fields agree. */
export function encodeAnswer({ payloadBytes, serverId = "" }: Answer): Buffer {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.LengthDelimited).fork();
  writer.tag(2, WireType.LengthDelimited).bytes(Buffer.alloc(payloadBytes)).join();
  if (serverId !== "") writer.tag(4, WireType.LengthDelimited).string(serverId);
  return Buffer.from(writer.finish());
}

/** StreamingInputCallResponse. */
export function encodeSum(bytes: number): Buffer {
  return Buffer.from(new BinaryWriter().tag(1, WireType.Varint).int32(bytes).finish());
}
