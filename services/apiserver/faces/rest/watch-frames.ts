/** Watch events as the API sends them: one JSON object a line. */
import { type ReadyIterator, readyIterator } from "../../../../ha/rpc/mod.ts";
import type { WatchItem } from "../../storage/watch-item.ts";
import { statusOf } from "./answers.ts";
import { type Form, objectBytes } from "./lists.ts";
import { tableOf } from "./table.ts";

/** Frames in one form, made once per event and shared by every watch that wants that form. */
const shared = new Map<string, WeakMap<WatchItem, Buffer>>();

const newLine = Buffer.from("}\n");

/** Ends with an ERROR event when the watch fails after it has begun. */
export function frames(items: AsyncIterable<WatchItem>, form: Form): ReadyIterator<Uint8Array> {
  return new Frames(readyIterator(items), form);
}

const done = { done: true, value: undefined } as const;

class Frames implements ReadyIterator<Uint8Array> {
  readonly #items: ReadyIterator<WatchItem>;
  readonly #form: Form;
  #first = true;
  #failed = false;

  constructor(items: ReadyIterator<WatchItem>, form: Form) {
    this.#items = items;
    this.#form = form;
  }

  ready(): Uint8Array | undefined {
    if (this.#failed) return undefined;
    const item = this.#items.ready();
    if (item === undefined) return undefined;
    try {
      return this.#frame(item);
    } catch (thrown) {
      return this.#fail(thrown);
    }
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    if (this.#failed) return done;
    try {
      const step = await this.#items.next();
      return step.done ? done : { done: false, value: this.#frame(step.value) };
    } catch (thrown) {
      return { done: false, value: this.#fail(thrown) };
    }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    await this.#items.return?.();
    return done;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #frame(item: WatchItem): Buffer {
    const form = this.#form;
    const table = this.#first && form.accepted.as === "Table";
    this.#first = false;
    return table ? tableFrame(item, form, true) : frameOf(item, form);
  }

  #fail(thrown: unknown): Buffer {
    this.#failed = true;
    this.#items.return?.().catch(() => {
      // The client is told of the first failure.
    });
    return Buffer.from(`${JSON.stringify({ type: "ERROR", object: statusOf(thrown) })}\n`);
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
