/** The files of one image layout, be it a directory or a tar archive. */
import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import { type ByteSource, tarEntries } from "./tar.ts";

export interface LayoutFiles {
  /** Undefined: it is not there. Throws StatusError when it is larger. */
  small(name: string, bytesMax: number): Promise<Buffer | undefined>;
  /** Throws StatusError notFound. */
  stream(name: string): AsyncGenerator<Uint8Array>;
}

const pieceBytes = 256 * 1024;
/** Files in one archive; an image has as many as it has layers, and a few more. */
const entriesMax = 10_000;

export function directoryFiles(directory: string): LayoutFiles {
  const rangeOf = async (name: string) => {
    const path = join(directory, name);
    const found = await stat(path).catch(() => undefined); // not there
    return found?.isFile() ? { path, at: 0, size: found.size } : undefined;
  };
  return filesOf(directory, rangeOf);
}

/** Reads the archive's table once. */
export async function tarFiles(path: string): Promise<LayoutFiles> {
  const ranges = new Map<string, Range>();
  const file = await open(path, "r");
  try {
    let at = 0;
    const source: ByteSource = {
      async read(bytesMax) {
        const buffer = Buffer.alloc(Math.min(bytesMax, pieceBytes));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
        at += bytesRead;
        return buffer.subarray(0, bytesRead);
      },
      async skip(bytes) {
        at += bytes;
      },
    };
    for await (const { path: name, type, size } of tarEntries(source)) {
      if (ranges.size >= entriesMax) throw unreadable(path, `more than ${entriesMax} files`);
      if (type === "file") ranges.set(name, { path, at, size });
    }
  } finally {
    await file.close();
  }
  return filesOf(path, async (name) => ranges.get(name));
}

/** Bytes of a file. */
interface Range {
  readonly path: string;
  readonly at: number;
  readonly size: number;
}

function filesOf(
  layout: string,
  rangeOf: (name: string) => Promise<Range | undefined>,
): LayoutFiles {
  const stream = async function* (name: string): AsyncGenerator<Uint8Array> {
    const range = await rangeOf(name);
    if (range === undefined) throw unreadable(layout, `there is no ${name} in it`);
    const file = await open(range.path, "r");
    try {
      for (let read = 0; read < range.size; ) {
        const buffer = Buffer.alloc(Math.min(pieceBytes, range.size - read));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, range.at + read);
        if (bytesRead === 0) throw unreadable(layout, `${name} is cut off`);
        read += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  };
  return {
    stream,
    async small(name, bytesMax) {
      const range = await rangeOf(name);
      if (range === undefined) return undefined;
      if (range.size > bytesMax) {
        throw unreadable(layout, `${name} has ${range.size} bytes, at most ${bytesMax} are read`);
      }
      const pieces: Uint8Array[] = [];
      for await (const piece of stream(name)) pieces.push(piece);
      return Buffer.concat(pieces);
    },
  };
}

export function unreadable(layout: string, why: string): StatusError {
  return new StatusError(Code.dataLoss, `image layout ${layout}: ${why}`);
}
