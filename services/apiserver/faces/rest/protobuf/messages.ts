/** What fields.txt says: the messages of Kubernetes' protobuf encoding, parsed when first wanted. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../../../../../ha/runtime/assert.ts";

type ScalarType = "s" | "b" | "i" | "d" | "bytes";
/** Messages whose JSON form is a text, a number or free JSON. */
export type SpecialType = "time" | "microtime" | "duration" | "quantity" | "intstr" | "raw";

export type FieldType =
  | { readonly form: "scalar"; readonly type: ScalarType }
  | { readonly form: "special"; readonly type: SpecialType }
  | { readonly form: "message"; readonly name: string }
  | { readonly form: "list" | "map"; readonly element: FieldType };

interface MessageField {
  /** "": the fields of the message stand in the outer one. */
  readonly name: string;
  readonly omitZero: boolean;
  /** The message stands for the last of these that is there. */
  readonly alternative: boolean;
  readonly type: FieldType;
}

export type Message = ReadonlyMap<number, MessageField>;

interface Messages {
  readonly byKind: ReadonlyMap<string, string>;
  readonly byName: ReadonlyMap<string, Message>;
}

let messages: Messages | undefined;

/** Of `v1/Pod`, `apps/v1/Deployment`; undefined: its encoding is not known. */
export function messageOfKind(apiVersion: string, kind: string): Message | undefined {
  messages ??= read();
  const { byKind } = messages;
  // Every group has the kinds of the meta group, such as DeleteOptions, under its own version.
  const shared = byKind.get(`v1/${kind}`);
  const own = byKind.get(`${apiVersion}/${kind}`);
  const name = own ?? (shared?.startsWith("meta.") ? shared : undefined);
  return name === undefined ? undefined : messages.byName.get(name);
}

export function messageOf(name: string): Message {
  messages ??= read();
  const message = messages.byName.get(name);
  assert(message !== undefined, `no message ${name} in fields.txt`);
  return message;
}

function read(): Messages {
  const text = readFileSync(join(import.meta.dirname, "fields.txt"), "utf8");
  const byKind = new Map<string, string>();
  const byName = new Map<string, Message>();
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const [first = "", ...words] = line.trim().split(" ");
    if (first === "kind") byKind.set(words[0] ?? "", words[1] ?? "");
    else byName.set(first, new Map(words.map(fieldOf)));
  }
  return { byKind, byName };
}

const fieldPattern = /^(\|?)(.+?)(\??)=(\d+):(.+)$/;

function fieldOf(text: string): [number, MessageField] {
  const [, mark = "", name = "", omit = "", number = "", type = ""] = fieldPattern.exec(text) ?? [];
  assert(name !== "", `fields.txt: ${text}`);
  const field = {
    name: name === "." ? "" : name,
    omitZero: omit !== "",
    alternative: mark !== "",
    type: typeOf(type),
  };
  return [Number(number), field];
}

const scalars: readonly string[] = ["s", "b", "i", "d", "bytes"] satisfies ScalarType[];
const specials: readonly string[] = [
  ...["time", "microtime", "duration", "quantity", "intstr", "raw"],
] as SpecialType[];

function typeOf(text: string): FieldType {
  if (text.startsWith("[")) return { form: "list", element: typeOf(text.slice(1, -1)) };
  if (text.startsWith("{")) return { form: "map", element: typeOf(text.slice(1, -1)) };
  if (scalars.includes(text)) return { form: "scalar", type: text as ScalarType };
  if (specials.includes(text)) return { form: "special", type: text as SpecialType };
  return { form: "message", name: text };
}
