/** Watch events as the API sends them: one JSON object a line. */
import type { WatchItem } from "../../storage/watch-item.ts";
import { statusOf } from "./answers.ts";
import { type Form, objectBytes } from "./lists.ts";
import { tableOf } from "./table.ts";

/** Frames in one form, made once per event and shared by every watch that wants that form. */
const shared = new Map<string, WeakMap<WatchItem, Buffer>>();

const newLine = Buffer.from("}\n");

/** Ends with an ERROR event when the watch fails after it has begun. */
export async function* frames(
  items: AsyncIterable<WatchItem>,
  form: Form,
): AsyncGenerator<Uint8Array, void> {
  let first = true;
  try {
    for await (const item of items) {
      yield first && form.accepted.as === "Table"
        ? tableFrame(item, form, true)
        : frameOf(item, form);
      first = false;
    }
  } catch (thrown) {
    yield Buffer.from(`${JSON.stringify({ type: "ERROR", object: statusOf(thrown) })}\n`);
  }
}

function frameOf(item: WatchItem, form: Form): Buffer {
  const { as, apiVersion } = form.accepted;
  const key = as === undefined ? "" : `${as} ${apiVersion} ${form.include}`;
  let known = shared.get(key);
  if (known === undefined) {
    known = new WeakMap();
    shared.set(key, known);
  }
  let frame = known.get(item);
  if (frame === undefined) {
    frame =
      as === "Table" ? tableFrame(item, form, false) : framed(item, objectBytes(item.object, form));
    known.set(item, frame);
  }
  return frame;
}

function framed(item: WatchItem, object: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`{"type":"${item.type}","object":`), object, newLine]);
}

/** The columns come with the first event only, as upstream sends them. */
function tableFrame(item: WatchItem, form: Form, headers: boolean): Buffer {
  const { document, resource } = item.object;
  const { resourceVersion = "" } = document.metadata ?? {};
  const { apiVersion } = form.accepted;
  const shape = { ...form, apiVersion, metadata: { resourceVersion }, headers };
  const table = tableOf(resource, [document], shape);
  return framed(item, Buffer.from(JSON.stringify(table)));
}
