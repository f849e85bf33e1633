/**
 * Logs as runtimes write them for a kubelet: a line is `TIME STREAM TAG TEXT`, of which the tag P
 * says that the text goes on in the next line. Read is the current file; a rotation in between is
 * followed.
 */
import { type FileHandle, open, stat } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import { limited } from "../process/log-lines.ts";
import type { LogOptions } from "../types.ts";

const chunkBytes = 64 * 1024;
/** Runtimes cut lines at 16 KiB; a longer one is none of theirs. */
const lineBytesMax = 1024 * 1024;
const pollMillis = 100;
const newline = 0x0a;
const space = 0x20;

interface LogLine {
  readonly time: string;
  /** The text goes on in the next line. */
  readonly partial: boolean;
  readonly text: Buffer;
}

/** `ended` says that nothing more will be written. Throws StatusError notFound. */
export async function* readCriLog(
  path: string,
  options: LogOptions,
  ended: () => boolean,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* limited(rendered(path, options, ended), options.limitBytes ?? Number.POSITIVE_INFINITY);
}

async function* rendered(
  path: string,
  options: LogOptions,
  ended: () => boolean,
): AsyncGenerator<Buffer, void, undefined> {
  let file = await opened(path);
  try {
    let at = options.tailLines === undefined ? 0 : await tailOffset(file, options.tailLines);
    let rest: Buffer = Buffer.alloc(0);
    let atLineStart = true;
    while (!options.signal.aborted) {
      // Asked before the read: what was written before the end is then certainly read.
      const over = ended();
      const { bytesRead, buffer } = await file.read(Buffer.alloc(chunkBytes), 0, chunkBytes, at);
      at += bytesRead;
      if (bytesRead > 0) {
        const { lines, left } = linesOf(Buffer.concat([rest, buffer.subarray(0, bytesRead)]));
        rest = left;
        const pieces: Buffer[] = [];
        for (const line of lines) {
          if (isTooOld(line, options.sinceMillis)) continue;
          if (options.timestamps && atLineStart) pieces.push(Buffer.from(`${line.time} `));
          pieces.push(line.text);
          if (!line.partial) pieces.push(Buffer.of(newline));
          atLineStart = !line.partial;
        }
        if (pieces.length > 0) yield Buffer.concat(pieces);
        continue;
      }
      if (!options.follow || over) return;
      const next = await successor(path, file);
      if (next === undefined) await pause(pollMillis, undefined, { ref: true });
      else {
        await file.close();
        file = next;
        at = 0;
        rest = Buffer.alloc(0);
      }
    }
  } finally {
    await file.close();
  }
}

async function opened(path: string): Promise<FileHandle> {
  return await open(path, "r").catch((error: unknown) => {
    throw new StatusError(Code.notFound, `no log yet: ${(error as Error).message}`);
  });
}

/** The file that has taken the place of the one that is open. */
async function successor(path: string, file: FileHandle): Promise<FileHandle | undefined> {
  const [now, mine] = await Promise.all([stat(path).catch(() => undefined), file.stat()]);
  if (now === undefined || now.ino === mine.ino) return undefined; // between rename and reopening
  return opened(path);
}

function linesOf(bytes: Buffer): { readonly lines: readonly LogLine[]; readonly left: Buffer } {
  const lines: LogLine[] = [];
  let at = 0;
  for (;;) {
    const end = bytes.indexOf(newline, at);
    if (end < 0) break;
    lines.push(lineOf(bytes.subarray(at, end)));
    at = end + 1;
  }
  const left = bytes.subarray(at);
  return { lines, left: left.length > lineBytesMax ? Buffer.alloc(0) : left };
}

/** What has another form is given as it is. */
function lineOf(bytes: Buffer): LogLine {
  const first = bytes.indexOf(space);
  const second = bytes.indexOf(space, first + 1);
  const third = bytes.indexOf(space, second + 1);
  const end = third < 0 ? bytes.length : third;
  const whole = first > 0 && second > first && end > second;
  if (!whole) return { time: new Date(0).toISOString(), partial: false, text: bytes };
  const tag = bytes.toString("latin1", second + 1, end).split(":", 1)[0];
  return {
    time: bytes.toString("latin1", 0, first),
    partial: tag === "P",
    text: bytes.subarray(Math.min(end + 1, bytes.length)),
  };
}

function isTooOld({ time }: LogLine, sinceMillis: number | undefined): boolean {
  if (sinceMillis === undefined) return false;
  const at = Date.parse(time);
  return !Number.isNaN(at) && at < sinceMillis;
}

/** Where the last whole lines begin. One file is read through: rotation keeps it bounded. */
async function tailOffset(file: FileHandle, lines: number): Promise<number> {
  const { size } = await file.stat();
  if (lines <= 0) return size;
  const starts: number[] = [];
  let lineAt = 0;
  let wholeAt = 0;
  let rest: Buffer = Buffer.alloc(0);
  for (let at = 0; at < size; ) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(chunkBytes), 0, chunkBytes, at);
    if (bytesRead === 0) break;
    at += bytesRead;
    const bytes = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    let from = 0;
    for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, from)) {
      const { partial } = lineOf(bytes.subarray(from, end));
      lineAt += end + 1 - from;
      from = end + 1;
      if (partial) continue;
      starts.push(wholeAt);
      wholeAt = lineAt;
      if (starts.length > 2 * lines) starts.splice(0, starts.length - lines);
    }
    rest = bytes.subarray(from);
  }
  return starts[Math.max(0, starts.length - lines)] ?? wholeAt;
}
