/**
 * What members say to each other, and what the log holds, as the messages of `proto/raft.proto`.
 * Consensus messages and entries are on the path of every write: they are written and read field by
 * field; what is rare goes through the generated code. Both agree (test/member/frames).
 */
import {
  Answer,
  Call,
  Frame,
  Hello,
  RosterNews,
  SnapshotChunk,
  Standing,
  SnapshotMeta as WireSnapshotMeta,
} from "../../proto/gen/raft.ts";
import { draft, type Entry, type Message } from "../raft/mod.ts";
import { sealWritten, WireReader, WireWriter } from "../store/mod.ts";
import { snapshotMetaFromWire, snapshotMetaToWire } from "./wire.ts";

/** Everything one member sends another in one turn. */
export interface Outgoing {
  messages: Message[];
  chunks: SnapshotChunk[];
  calls: Call[];
  answers: Answer[];
  news?: RosterNews | undefined;
  hello?: Hello | undefined;
  standing?: Standing | undefined;
}

export function newOutgoing(): Outgoing {
  return { messages: [], chunks: [], calls: [], answers: [] };
}

const writer = new WireWriter();

/** `cluster`: frames of another cluster are not answered. A view of a shared chunk. */
export function encodeFrame(cluster: number, outgoing: Outgoing): Uint8Array {
  const { messages, chunks, calls, answers, news, hello, standing } = outgoing;
  writer.number(1, cluster);
  for (const message of messages) writeMessage(2, message);
  const lists = chunks.length + calls.length + answers.length;
  if (lists > 0 || news !== undefined || hello !== undefined || standing !== undefined) {
    writer.raw(Frame.encode({ chunks, calls, answers, news, hello, standing }).finish());
  }
  return writer.finish();
}

function writeMessage(field: number, message: Message): void {
  const { entries, context, snapshot } = message;
  let guess = 32;
  for (const entry of entries) guess += entry.data.length + entryBytesMore;
  const mark = writer.begin(field, guess);
  writer.number(1, message.type);
  writer.number(2, message.from);
  writer.number(3, message.to);
  writer.number(4, message.term);
  writer.number(5, message.index);
  writer.number(6, message.logTerm);
  writeEntries(7, entries);
  writer.number(8, message.commit);
  if (message.reject) {
    writer.flag(9, true);
    writer.number(10, message.rejectHint);
    writer.number(11, message.rejectTerm);
  }
  if (context !== 0) writer.number(12, context);
  if (snapshot) writer.bytes(13, WireSnapshotMeta.encode(snapshotMetaToWire(snapshot)).finish());
  writer.flag(14, message.force);
  writer.end(mark);
}

/** Of an entry, besides its data: about. */
const entryBytesMore = 16;

function writeEntries(field: number, entries: readonly Entry[]): void {
  for (const { term, index, kind, data } of entries) {
    const mark = writer.begin(field, data.length + entryBytesMore);
    writer.number(1, term);
    writer.number(2, index);
    writer.number(3, kind);
    writer.bytes(4, data);
    writer.end(mark);
  }
}

/** A `LogBatch` with the checksum that a record ends in. A view of a shared chunk. */
export function sealLogBatch(key: Uint8Array, entries: readonly Entry[]): Uint8Array {
  writeEntries(1, entries);
  return sealWritten(key, writer);
}

/** Throws `RangeError` on bytes that are none. Data are views of `bytes`. */
export function decodeLogBatch(bytes: Uint8Array): Entry[] {
  const reader = new WireReader(bytes);
  const entries: Entry[] = [];
  while (reader.position < reader.end) {
    const tag = reader.varint();
    if (tag === 10) entries.push(readEntry(reader, reader.enter()));
    else reader.skip(tag);
  }
  return entries;
}

/** Throws on bytes that are no frame. Data are views of `bytes`. */
export function decodeFrame(bytes: Uint8Array): Outgoing & { readonly cluster: number } {
  const reader = new WireReader(bytes);
  const { messages, chunks, calls, answers } = newOutgoing();
  let cluster = 0;
  let news: RosterNews | undefined;
  let hello: Hello | undefined;
  let standing: Standing | undefined;
  while (reader.position < reader.end) {
    const tag = reader.varint();
    if (tag === 18) messages.push(readMessage(reader, reader.enter()));
    else if (tag === 8) cluster = reader.varint();
    else if (tag === 26) chunks.push(SnapshotChunk.decode(reader.bytes()));
    else if (tag === 34) calls.push(Call.decode(reader.bytes()));
    else if (tag === 42) answers.push(Answer.decode(reader.bytes()));
    else if (tag === 50) news = RosterNews.decode(reader.bytes());
    else if (tag === 58) hello = Hello.decode(reader.bytes());
    else if (tag === 66) standing = Standing.decode(reader.bytes());
    else reader.skip(tag);
  }
  return { cluster, messages, chunks, calls, answers, news, hello, standing };
}

function readMessage(reader: WireReader, end: number): Message {
  const none = 0 as never;
  const message = draft(none, none, none, none);
  const entries: Entry[] = [];
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 58) entries.push(readEntry(reader, reader.enter()));
    else if (tag === 8) message.type = reader.varint() as Message["type"];
    else if (tag === 16) message.from = reader.varint() as Message["from"];
    else if (tag === 24) message.to = reader.varint() as Message["to"];
    else if (tag === 32) message.term = reader.varint() as Message["term"];
    else if (tag === 40) message.index = reader.varint() as Message["index"];
    else if (tag === 48) message.logTerm = reader.varint() as Message["logTerm"];
    else if (tag === 64) message.commit = reader.varint() as Message["commit"];
    else if (tag === 72) message.reject = reader.bool();
    else if (tag === 80) message.rejectHint = reader.varint() as Message["rejectHint"];
    else if (tag === 88) message.rejectTerm = reader.varint() as Message["rejectTerm"];
    else if (tag === 96) message.context = reader.varint();
    else if (tag === 106) {
      message.snapshot = snapshotMetaFromWire(WireSnapshotMeta.decode(reader.bytes()));
    } else if (tag === 112) message.force = reader.bool();
    else reader.skip(tag);
  }
  if (entries.length > 0) message.entries = entries;
  return message;
}

const noData = new Uint8Array(0);

function readEntry(reader: WireReader, end: number): Entry {
  let [term, index, kind] = [0, 0, 0];
  let data: Uint8Array = noData;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 34) data = reader.bytes();
    else if (tag === 8) term = reader.varint();
    else if (tag === 16) index = reader.varint();
    else if (tag === 24) kind = reader.varint();
    else reader.skip(tag);
  }
  return { term, index, kind, data } as Entry;
}
