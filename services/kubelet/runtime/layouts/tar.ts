/**
 * Entries of a tar archive (POSIX.1-2001 pax, ustar, and GNU's long names), read in order. What is
 * not read of an entry is skipped.
 */
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";

/** Where an archive's bytes come from. */
export interface ByteSource {
  /** Up to so many bytes; empty at the end. */
  read(bytesMax: number): Promise<Uint8Array>;
  skip(bytes: number): Promise<void>;
}

type TarType = "file" | "link" | "symlink" | "character" | "block" | "directory" | "fifo";

export interface TarEntry {
  /** Without a leading `./` or slashes at either end. */
  readonly path: string;
  readonly type: TarType;
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeSeconds: number;
  /** Of links. */
  readonly target: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Of a file; empty otherwise. Once. */
  body(): AsyncGenerator<Uint8Array>;
}

const blockBytes = 512;
/** Of a pax header or a long name. */
const extraBytesMax = 1024 * 1024;
const pieceBytes = 256 * 1024;

const types: Readonly<Record<string, TarType>> = {
  "\0": "file",
  "0": "file",
  "7": "file",
  "1": "link",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  "6": "fifo",
};

interface Extras {
  path?: string;
  linkpath?: string;
  size?: number;
  uid?: number;
  gid?: number;
}

/** Throws StatusError dataLoss when it is no whole archive. */
export async function* tarEntries(source: ByteSource): AsyncGenerator<TarEntry> {
  let extras: Extras = {};
  for (;;) {
    const head = await nextBlock(source);
    if (head === undefined || head.every((byte) => byte === 0)) return;
    checkSum(head);
    const type = String.fromCharCode(head[156] ?? 0);
    const size = extras.size ?? numberOf(head, 124, 12);
    const padded = Math.ceil(size / blockBytes) * blockBytes;
    if (type === "x" || type === "L" || type === "K" || type === "g") {
      if (size > extraBytesMax) throw damaged(`a header of ${size} bytes`);
      const body = (await exactly(source, padded)).subarray(0, size);
      // Global headers say nothing that is needed here.
      if (type === "x") extras = { ...extras, ...paxOf(body) };
      if (type === "L") extras.path = textOf(body, 0, body.length);
      if (type === "K") extras.linkpath = textOf(body, 0, body.length);
      continue;
    }
    const known = types[type];
    let left = padded;
    if (known !== undefined) {
      const read = async function* (): AsyncGenerator<Uint8Array> {
        for (let wanted = size; wanted > 0; ) {
          const piece = await source.read(Math.min(wanted, pieceBytes));
          if (piece.length === 0) throw damaged("it is cut off");
          wanted -= piece.length;
          left -= piece.length;
          yield piece;
        }
      };
      yield entryOf(head, known, size, extras, read);
    }
    await source.skip(left);
    extras = {};
  }
}

function entryOf(
  head: Buffer,
  type: TarType,
  size: number,
  extras: Extras,
  body: () => AsyncGenerator<Uint8Array>,
): TarEntry {
  const prefix = textOf(head, 257, 5) === "ustar" ? textOf(head, 345, 155) : "";
  const name = textOf(head, 0, 100);
  const path = extras.path ?? (prefix === "" ? name : `${prefix}/${name}`);
  return {
    path: path.replace(/^(?:\.?\/+)+/, "").replace(/\/+$/, ""),
    type,
    size,
    mode: numberOf(head, 100, 8) & 0o7777,
    uid: extras.uid ?? numberOf(head, 108, 8),
    gid: extras.gid ?? numberOf(head, 116, 8),
    mtimeSeconds: numberOf(head, 136, 12),
    target: extras.linkpath ?? textOf(head, 157, 100),
    deviceMajor: numberOf(head, 329, 8),
    deviceMinor: numberOf(head, 337, 8),
    body,
  };
}

/** Undefined: the source ends here. */
async function nextBlock(source: ByteSource): Promise<Buffer | undefined> {
  const first = await source.read(blockBytes);
  if (first.length === 0) return undefined;
  const rest = await exactly(source, blockBytes - first.length);
  return Buffer.concat([first, rest]);
}

async function exactly(source: ByteSource, bytes: number): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  while (length < bytes) {
    const piece = await source.read(bytes - length);
    if (piece.length === 0) throw damaged("it is cut off");
    pieces.push(piece);
    length += piece.length;
  }
  return Buffer.concat(pieces, length);
}

function checkSum(head: Buffer): void {
  let sum = 0;
  for (const [at, byte] of head.entries()) sum += at >= 148 && at < 156 ? 0x20 : byte;
  if (sum !== numberOf(head, 148, 8)) throw damaged("a header's checksum is wrong");
}

function textOf(bytes: Buffer, at: number, length: number): string {
  const field = bytes.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.subarray(0, end < 0 ? field.length : end).toString("utf8");
}

/** Octal digits; or, as GNU writes large numbers, the bytes behind a first one with its high bit. */
function numberOf(head: Buffer, at: number, length: number): number {
  if (((head[at] ?? 0) & 0x80) !== 0) {
    const value = head.subarray(at + 1, at + length).reduce((sum, byte) => sum * 256 + byte, 0);
    if (!Number.isSafeInteger(value)) throw damaged("a number in a header is too large");
    return value;
  }
  const text = textOf(head, at, length).trim();
  if (text === "") return 0;
  if (!/^[0-7]+$/.test(text)) throw damaged(`"${text}" in a header is no octal number`);
  return Number.parseInt(text, 8);
}

/** Lines `LENGTH KEY=VALUE\n`, of which the length counts itself. */
function paxOf(body: Buffer): Extras {
  const extras: Extras = {};
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(body.toString("latin1", at, space));
    if (!(length > 0) || at + length > body.length) throw damaged("a pax header is malformed");
    const record = body.toString("utf8", space + 1, at + length - 1);
    const equals = record.indexOf("=");
    const key = record.slice(0, equals);
    const value = record.slice(equals + 1);
    if (key === "path" || key === "linkpath") extras[key] = value;
    if (key === "size" || key === "uid" || key === "gid") {
      const number = Number(value);
      if (!Number.isSafeInteger(number) || number < 0) throw damaged(`pax ${key} "${value}"`);
      extras[key] = number;
    }
    at += length;
  }
  return extras;
}

function damaged(what: string): StatusError {
  return new StatusError(Code.dataLoss, `no whole tar archive: ${what}`);
}
