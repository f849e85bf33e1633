/** Frames by hand, and connections without sockets. */
import assert from "node:assert/strict";
import { clientPreface, FrameType, frameHeaderBytes } from "../../ha/http2/codes.ts";
import type { Connection, ConnectionHandler, HeaderBlock, Stream } from "../../ha/http2/mod.ts";

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = Buffer.of(),
) {
  const bytes = Buffer.alloc(frameHeaderBytes + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId, 5);
  bytes.set(payload, frameHeaderBytes);
  return bytes;
}

export function uint32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, index) => {
    bytes.writeUInt32BE(value, 4 * index);
  });
  return bytes;
}

export function settings(...values: [id: number, value: number][]): Buffer {
  const payload = values.map(([id, value]) => Buffer.concat([Buffer.of(0, id), uint32(value)]));
  return frame(FrameType.settings, 0, 0, Buffer.concat(payload));
}

/** What a client begins with: preface, SETTINGS, and the acknowledgement of ours. */
export const hello = Buffer.concat([clientPreface, settings(), frame(FrameType.settings, 1, 0)]);

/** Cuts output into frames, without the code under test. */
export function parse(chunks: readonly Buffer[], preface = false): Frame[] {
  const bytes = Buffer.concat(chunks);
  const frames: Frame[] = [];
  let at = preface ? clientPreface.length : 0;
  while (at < bytes.length) {
    const length = bytes.readUIntBE(at, 3);
    const end = at + frameHeaderBytes + length;
    assert.ok(end <= bytes.length, "a frame is incomplete");
    frames.push({
      type: bytes.readUInt8(at + 3),
      flags: bytes.readUInt8(at + 4),
      streamId: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + frameHeaderBytes, end),
    });
    at = end;
  }
  return frames;
}

const typeNames = Object.fromEntries(Object.entries(FrameType).map(([name, type]) => [type, name]));

/** `rstStream 1 code 8`, `goaway code 1`: enough to tell what was answered. */
export function describeFrame({ type, flags, streamId, payload }: Frame): string {
  const name = typeNames[type] ?? `type ${type}`;
  if (type === FrameType.rstStream) return `rstStream ${streamId} code ${payload.readUInt32BE(0)}`;
  if (type === FrameType.goaway) return `goaway code ${payload.readUInt32BE(4)}`;
  if (type === FrameType.windowUpdate) return `windowUpdate ${streamId} ${payload.readUInt32BE(0)}`;
  if (type === FrameType.data) {
    return `data ${streamId} ${payload.length}${flags & 1 ? " end" : ""}`;
  }
  if (type === FrameType.headers) return `headers ${streamId}${flags & 1 ? " end" : ""}`;
  return flags & 1 ? `${name} ack` : name;
}

/** A handler that writes down what it is told. Consumes what it is given, unless told not to. */
export class Recorder implements ConnectionHandler {
  readonly events: string[] = [];
  readonly streams = new Map<number, Stream>();
  readonly blocks: HeaderBlock[] = [];
  readonly bodies = new Map<number, Buffer>();
  consumes = true;
  connection!: Connection;

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    this.streams.set(stream.id, stream);
    this.blocks.push(block);
    const fields = block.fields.join("|");
    this.events.push(`headers ${stream.id} ${fields}${endStream ? " end" : ""}`);
  }

  onData(stream: Stream, bytes: Buffer, start: number, end: number, endStream: boolean): void {
    const before = this.bodies.get(stream.id) ?? Buffer.of();
    this.bodies.set(stream.id, Buffer.concat([before, bytes.subarray(start, end)]));
    if (endStream) this.events.push(`data ${stream.id} end`);
    if (this.consumes) this.connection.consume(stream, end - start);
  }

  onTrailers(stream: Stream, block: HeaderBlock): void {
    this.events.push(`trailers ${stream.id} ${block.fields.join("|")}`);
  }

  onReset(stream: Stream, code: number, cause: string): void {
    this.events.push(`reset ${stream.id} code ${code} ${cause}`);
  }

  onWritable(stream: Stream): void {
    this.events.push(`writable ${stream.id}`);
  }

  onGoaway(last: number, code: number): void {
    this.events.push(`goaway ${last} code ${code}`);
  }

  onClose(error: Error | undefined): void {
    this.events.push(`close ${error?.message ?? ""}`);
  }
}

/** Carries bytes between two connections until both are silent. */
export function exchange(a: Connection, b: Connection): void {
  for (;;) {
    const fromA = a.takeOutput();
    const fromB = b.takeOutput();
    if (fromA.length === 0 && fromB.length === 0) return;
    for (const chunk of fromA) b.receive(chunk);
    for (const chunk of fromB) a.receive(chunk);
  }
}

/** Repeatable numbers in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 0x2c1b_3c6d);
    mixed = Math.imul(mixed ^ (mixed >>> 12), 0x297a_2d39);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}
