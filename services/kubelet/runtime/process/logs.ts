/**
 * Container output: one file that the container's processes append to themselves, so that output
 * goes on while no kubelet runs.
 *
 * Rotation copies the file to `log.1` and truncates it (`copytruncate`): the processes hold the
 * descriptor, so it cannot be renamed away. What is written between the copy and the truncation, at
 * most a few milliseconds' worth, is lost. The output does not tell stdout from stderr; its times
 * are kept beside it (log-times.ts).
 */
import { watch } from "node:fs";
import { copyFile, open, rename, stat, truncate } from "node:fs/promises";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import type { LogOptions } from "../types.ts";
import { type LogPiece, limited, stamped } from "./log-lines.ts";
import { LogTimesReader } from "./log-times.ts";

export const logLimits = {
  /** Kubelet defaults: containerLogMaxSize and containerLogMaxFiles. */
  fileBytesMax: 10 * 1024 * 1024,
  filesMax: 5,
  chunkBytes: 64 * 1024,
  pollMillis: 250,
} as const;

export async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0; // not there: nothing written
}

/** Rotates when the file has grown beyond `bytesMax`. */
export async function rotateLog(
  path: string,
  bytesMax: number = logLimits.fileBytesMax,
  filesMax: number = logLimits.filesMax,
): Promise<boolean> {
  if ((await sizeOf(path)) <= bytesMax) return false;
  for (let index = filesMax - 2; index >= 1; index--) {
    await rename(`${path}.${index}`, `${path}.${index + 1}`).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    });
  }
  await copyFile(path, `${path}.1`);
  await truncate(path, 0);
  return true;
}

/**
 * Reads the current file. `ended` says that nothing more will be written. `from`, where given, is
 * the offset in bytes to begin at, in place of tailLines.
 */
export async function* readLog(
  path: string,
  options: LogOptions,
  ended: () => boolean,
  from?: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const times = new LogTimesReader(path);
  const pieces = readPieces(path, options, ended, times, from);
  const texts = options.timestamps === true ? stamped(pieces, times) : plain(pieces);
  yield* limited(texts, options.limitBytes ?? Number.POSITIVE_INFINITY);
}

async function* plain(pieces: AsyncIterable<LogPiece>): AsyncGenerator<Buffer, void, undefined> {
  for await (const { data } of pieces) yield data;
}

async function* readPieces(
  path: string,
  options: LogOptions,
  ended: () => boolean,
  times: LogTimesReader,
  from: number | undefined,
): AsyncGenerator<LogPiece, void, undefined> {
  const file = await open(path, "r").catch((error: unknown) => {
    throw new StatusError(Code.notFound, `no log yet: ${(error as Error).message}`);
  });
  const changes = options.follow ? watchFile(path, options.signal) : undefined;
  try {
    let at = from ?? (await startOffset(file, options, times));
    while (!options.signal.aborted) {
      // Asked before the read: what was written before the end is then certainly read.
      const over = ended();
      const size = (await file.stat()).size;
      if (size < at) at = 0; // rotated
      const want = Math.min(logLimits.chunkBytes, size - at);
      if (want > 0) {
        const { bytesRead, buffer } = await file.read(Buffer.alloc(want), 0, want, at);
        const offset = at;
        at += bytesRead;
        if (bytesRead > 0) yield { data: buffer.subarray(0, bytesRead), offset };
      } else if (changes === undefined || over) return;
      else await changes.next();
    }
  } finally {
    changes?.close();
    await file.close();
  }
}

/** The later of where the last lines begin and where those begin that are new enough. */
async function startOffset(
  file: ReadableFile,
  { tailLines, sinceMillis }: LogOptions,
  times: LogTimesReader,
): Promise<number> {
  const tail = tailLines === undefined ? 0 : await tailOffset(file, tailLines);
  if (sinceMillis === undefined) return tail;
  await times.refresh();
  const { size } = await file.stat();
  return Math.max(tail, await lineStart(file, Math.min(size, times.startOf(sinceMillis))));
}

/** Where the first line begins that begins there or later. */
async function lineStart(file: ReadableFile, offset: number): Promise<number> {
  const { size } = await file.stat();
  const buffer = Buffer.alloc(logLimits.chunkBytes);
  // A line begins behind the end of another, so one byte before counts.
  for (let at = offset - 1; at < size; ) {
    if (at < 0) return 0;
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) break;
    const found = buffer.subarray(0, bytesRead).indexOf(0x0a);
    if (found >= 0) return at + found + 1;
    at += bytesRead;
  }
  return size;
}

interface Changes {
  /** Resolves at the next change, or after a while, or when the signal aborts. */
  next(): Promise<void>;
  close(): void;
}

function watchFile(path: string, signal: AbortSignal): Changes {
  let wake: () => void = () => undefined;
  let changed = false;
  const onChange = () => {
    changed = true;
    wake();
  };
  const watcher = watch(path, { persistent: false }, onChange);
  watcher.on("error", () => undefined); // the poll below goes on without it
  signal.addEventListener("abort", onChange, { once: true });
  return {
    next: () =>
      new Promise((resolve) => {
        if (changed) {
          changed = false;
          resolve();
          return;
        }
        const timer = setTimeout(onChange, logLimits.pollMillis);
        wake = () => {
          changed = false;
          clearTimeout(timer);
          wake = () => undefined;
          resolve();
        };
      }),
    close: () => {
      watcher.close();
      signal.removeEventListener("abort", onChange);
    },
  };
}

interface ReadableFile {
  stat(): Promise<{ size: number }>;
  read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesRead: number }>;
}

/** Where the last `lines` lines begin; a last line without its end counts. */
async function tailOffset(file: ReadableFile, lines: number): Promise<number> {
  const { size } = await file.stat();
  if (lines === 0) return size;
  const buffer = Buffer.alloc(logLimits.chunkBytes);
  let found = 0;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - buffer.length);
    const { bytesRead } = await file.read(buffer, 0, end - start, start);
    for (let index = bytesRead - 1; index >= 0; index--) {
      if (buffer[index] !== 0x0a || start + index === size - 1) continue;
      found += 1;
      if (found === lines) return start + index + 1;
    }
    end = start;
  }
  return 0;
}
