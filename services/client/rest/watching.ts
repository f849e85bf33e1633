/** The events of a watch, one JSON document a line. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Status } from "../../../proto/gen/meta.ts";
import type { ApiObject } from "../types.ts";
import { failureOfStatus } from "./failures.ts";
import type { HttpAnswer } from "./http.ts";

interface WatchLine {
  readonly type: string;
  readonly object: ApiObject;
}

const newline = 0x0a;

/** Rejects with the failure that an ERROR event tells, and for a line over the limit. */
export async function* watchLines(
  answer: HttpAnswer,
  lineBytesMax: number,
): AsyncGenerator<Buffer, void, undefined> {
  let rest: Buffer[] = [];
  let bytes = 0;
  for (let piece = await answer.take(); piece !== undefined; piece = await answer.take()) {
    let from = 0;
    for (let at = piece.indexOf(newline); at >= 0; at = piece.indexOf(newline, from)) {
      const end = piece.subarray(from, at);
      const line = rest.length === 0 ? end : Buffer.concat([...rest, end]);
      rest = [];
      bytes = 0;
      from = at + 1;
      if (line.length > 0) yield line;
    }
    if (from === piece.length) continue;
    bytes += piece.length - from;
    if (bytes > lineBytesMax) {
      const text = `an event of the watch is over the limit of ${lineBytesMax} bytes`;
      throw new StatusError(Code.resourceExhausted, text);
    }
    rest.push(piece.subarray(from));
  }
}

/** Throws a CallFailure for an ERROR event. */
export function watchEvent(document: unknown): WatchLine {
  const { type, object } = document as Partial<WatchLine>;
  if (type === undefined || object === undefined) {
    throw new StatusError(Code.internal, "an event of the watch lacks its type or object");
  }
  if (type === "ERROR") throw failureOfStatus(object as Status);
  return { type, object };
}
