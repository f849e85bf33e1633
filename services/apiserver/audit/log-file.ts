/** The file of the audit log: JSON lines, rotated by size and cleared by count and age. */
import { once } from "node:events";
import { type FileHandle, mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Log } from "../../../ha/runtime/types.ts";
import { limits } from "../limits.ts";

export interface AuditLogOptions {
  /** "-": standard output, which is not rotated. */
  readonly path: string;
  /** Bytes from which on a file is put aside. */
  readonly maxBytes: number;
  /** Files put aside that are kept; 0: all. */
  readonly maxBackups: number;
  /** Days that they are kept; 0: for ever. */
  readonly maxAgeDays: number;
  readonly log: Log;
  readonly now: () => number;
}

/** Counts of events since the start. */
export interface AuditCounts {
  written: number;
  dropped: number;
}

const dayMillis = 24 * 60 * 60 * 1000;

/**
 * Takes events without ever making a request wait: they stand in a bounded queue until the file has
 * taken those before. What finds the queue full is dropped, counted, and told in the program's log.
 */
export class AuditLog {
  readonly counts: AuditCounts = { written: 0, dropped: 0 };
  readonly #options: AuditLogOptions;
  #file: FileHandle | undefined;
  #fileBytes = 0;
  #queue: string[] = [];
  #queueBytes = 0;
  #writing: Promise<void> | undefined;
  #toldAt = Number.NEGATIVE_INFINITY;
  #toldDropped = 0;
  #closed = false;

  private constructor(options: AuditLogOptions) {
    this.#options = options;
  }

  /** Throws FailedPrecondition when the file cannot be written. */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const log = new AuditLog(options);
    try {
      await log.#openFile();
    } catch (thrown) {
      const { message } = thrown as Error;
      throw new StatusError(
        Code.failedPrecondition,
        `--audit-log-path ${options.path}: cannot be written: ${message}`,
      );
    }
    return log;
  }

  /** Never waits, never throws. */
  offer(event: string): void {
    const full =
      this.#queue.length >= limits.auditQueueEvents ||
      this.#queueBytes + event.length > limits.auditQueueBytes;
    if (this.#closed || full) {
      this.#drop(1, full ? "the queue of the audit log is full" : "the audit log is closed");
      return;
    }
    this.#queue.push(event);
    this.#queueBytes += event.length;
    this.#writing ??= this.#drain();
  }

  /** Resolves when what has been offered is written. */
  async idle(): Promise<void> {
    await this.#writing;
  }

  /** What has been offered before is written first. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #drain(): Promise<void> {
    // Events of one turn go to the file together.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const events = this.#queue;
      this.#queue = [];
      this.#queueBytes = 0;
      try {
        await this.#append(events);
        this.counts.written += events.length;
      } catch (thrown) {
        this.#drop(events.length, `the audit log cannot be written: ${(thrown as Error).message}`);
      }
    }
    this.#writing = undefined;
  }

  async #append(events: readonly string[]): Promise<void> {
    const bytes = Buffer.from(`${events.join("\n")}\n`);
    const { path, maxBytes } = this.#options;
    if (path === "-") {
      if (!process.stdout.write(bytes)) await once(process.stdout, "drain");
      return;
    }
    if (this.#fileBytes > 0 && this.#fileBytes + bytes.length > maxBytes) await this.#rotate();
    const file = this.#file ?? (await this.#openFile());
    await file?.appendFile(bytes);
    this.#fileBytes += bytes.length;
  }

  async #openFile(): Promise<FileHandle | undefined> {
    const { path } = this.#options;
    if (path === "-") return undefined;
    await mkdir(dirname(path), { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
    this.#file = await open(path, "a", 0o600);
    this.#fileBytes = (await this.#file.stat()).size;
    return this.#file;
  }

  /** Named as upstream's writer names them: `audit-2006-01-02T15-04-05.000.log`. */
  async #rotate(): Promise<void> {
    const { path, now } = this.#options;
    await this.#file?.close();
    this.#file = undefined;
    const at = new Date(now()).toISOString().slice(0, -1).replaceAll(":", "-");
    const end = extname(path);
    const stem = path.slice(0, path.length - end.length);
    await rename(path, `${stem}-${at}${end}`);
    await this.#openFile();
    await this.#clear();
  }

  async #clear(): Promise<void> {
    const { path, maxBackups, maxAgeDays, now } = this.#options;
    if (maxBackups === 0 && maxAgeDays === 0) return;
    const end = extname(path);
    const stem = `${basename(path, end)}-`;
    const oldest = maxAgeDays === 0 ? 0 : now() - maxAgeDays * dayMillis;
    const backups = (await readdir(dirname(path)))
      .map((name) => ({ name, time: timeIn(name, stem, end) }))
      .filter(({ time }) => time !== undefined)
      .sort((one, other) => (other.time ?? 0) - (one.time ?? 0));
    for (const [index, { name, time = 0 }] of backups.entries()) {
      if (time >= oldest && (maxBackups === 0 || index < maxBackups)) continue;
      await unlink(join(dirname(path), name));
    }
  }

  /** Told at most once in a while: a flood of events must not become a flood of lines. */
  #drop(count: number, why: string): void {
    this.counts.dropped += count;
    const { now, log } = this.#options;
    if (now() - this.#toldAt < limits.auditTellMillis) return;
    this.#toldAt = now();
    const dropped = this.counts.dropped - this.#toldDropped;
    this.#toldDropped = this.counts.dropped;
    log.error("audit events were dropped", { why, dropped, all: this.counts.dropped });
  }
}

/** When a file was put aside; undefined: it is another file. */
function timeIn(name: string, stem: string, end: string): number | undefined {
  if (!name.startsWith(stem) || !name.endsWith(end)) return undefined;
  const text = name.slice(stem.length, name.length - end.length);
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d\.\d{3})$/.exec(text);
  if (match === null) return undefined;
  const [, day, hours, minutes, seconds] = match;
  return Date.parse(`${day}T${hours}:${minutes}:${seconds}Z`);
}
