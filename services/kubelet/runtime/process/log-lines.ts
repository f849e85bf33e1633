/** A log's pieces as lines with their times. */
import type { LogTimesReader } from "./log-times.ts";

/** Bytes of a log, and where in it they stand. */
export interface LogPiece {
  readonly data: Buffer;
  readonly offset: number;
}

const newline = 0x0a;

/** Begins each line with its time. `fromLineStart`: the first piece begins a line. */
export async function* stamped(
  pieces: AsyncIterable<LogPiece>,
  times: LogTimesReader,
): AsyncGenerator<Buffer, void, undefined> {
  let atStart = true;
  let next = 0;
  for await (const { data, offset } of pieces) {
    if (offset < next) {
      times.forget();
      atStart = true;
    }
    next = offset + data.length;
    await times.refresh();
    const parts: Buffer[] = [];
    for (let at = 0; at < data.length; ) {
      const found = data.indexOf(newline, at);
      const end = found < 0 ? data.length : found + 1;
      if (atStart) parts.push(Buffer.from(`${stamp(times.at(offset + at))} `));
      parts.push(data.subarray(at, end));
      atStart = found >= 0;
      at = end;
    }
    yield Buffer.concat(parts);
  }
}

/** As the kubelet prints them: nine digits of the second. */
function stamp(millis: number): string {
  return new Date(millis).toISOString().replace("Z", "000000Z");
}

/** At most so many bytes in all. */
export async function* limited(
  pieces: AsyncIterable<Buffer>,
  bytesMax: number,
): AsyncGenerator<Buffer, void, undefined> {
  let left = bytesMax;
  if (left <= 0) return;
  for await (const piece of pieces) {
    yield piece.subarray(0, left);
    left -= piece.length;
    if (left <= 0) return;
  }
}
