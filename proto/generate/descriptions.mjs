// descriptions.json: what the comments in the contracts say of messages and fields, for OpenAPI and
// so for `kubectl explain`.
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Field numbers in descriptor.proto of what a path in the source leads through. */
const inFile = { message: 4 };
const inMessage = { field: 2, nested: 3 };

/** `{ <full name of message>: { "": <of the message>, <field>: <of the field> } }` */
export function writeDescriptions(out, { files }) {
  const descriptions = {};
  for (const file of files.values()) {
    if (!file.package.startsWith("trireme.")) continue;
    const texts = textsOf(file);
    file.messageType.forEach((message, index) => {
      describe(descriptions, `${file.package}.${message.name}`, message, texts, [
        inFile.message,
        index,
      ]);
    });
  }
  writeFileSync(join(out, "descriptions.json"), JSON.stringify(descriptions));
}

function describe(descriptions, name, message, texts, path) {
  const own = {};
  const set = (field, at) => {
    const text = texts.get(at.join());
    if (text !== undefined) own[field] = text;
  };
  set("", path);
  message.field.forEach((field, index) => {
    set(field.jsonName || field.name, [...path, inMessage.field, index]);
  });
  if (Object.keys(own).length > 0) descriptions[name] = own;
  message.nestedType.forEach((nested, index) => {
    const at = [...path, inMessage.nested, index];
    describe(descriptions, `${name}.${nested.name}`, nested, texts, at);
  });
}

/** By the path of what is described: the comment above it, or else the one beside it. */
function textsOf(file) {
  const texts = new Map();
  for (const { path, leadingComments, trailingComments } of file.sourceCodeInfo?.location ?? []) {
    const text = sentences(leadingComments || trailingComments || "");
    if (text !== "") texts.set(path.join(), text);
  }
  return texts;
}

/** Lines joined; a capital at the begin and a full stop at the end, as a reader of help expects. */
function sentences(comment) {
  const text = comment.replace(/\s*\n\s*/g, " ").trim();
  if (text === "") return "";
  const capital = /^[a-z]+[A-Z]/.test(text) ? text : text[0].toUpperCase() + text.slice(1);
  return /[.!?:]$/.test(capital) ? capital : `${capital}.`;
}
