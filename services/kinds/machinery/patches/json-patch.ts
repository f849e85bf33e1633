/** JSON patch (RFC 6902), atomically: all of its operations, or none. */
import { applyPatch, type Operation, Pointer } from "rfc6902";
import { copyJson, isObject, type JsonObject } from "../json.ts";
import { limits } from "../limits.ts";
import { badPatch, unappliable } from "./errors.ts";

const withValue = new Set(["add", "replace", "test"]);
const withFrom = new Set(["move", "copy"]);

/**
 * The library can neither replace the root nor undo what it did before an error; both are had by
 * patching a copy one level down, in a wrapper.
 */
export function applyJsonPatch(document: JsonObject, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badPatch("a JSON patch must be an array of operations");
  if (patch.length > limits.jsonPatchOperations) {
    throw badPatch(
      `the JSON patch has ${patch.length} operations, ` +
        `more than the limit of ${limits.jsonPatchOperations}`,
    );
  }
  const wrapper: { doc: unknown } = { doc: copyJson(document) };
  // Copies of copies grow exponentially; what they add up to is bounded, as upstream does it.
  let copiedLength = 0;
  patch.forEach((each: unknown, index) => {
    const operation = readOperation(each, index);
    const where = `operation ${index} (${operation.op} ${JSON.stringify(shown(operation.path))})`;
    if (operation.op === "copy") {
      const value: unknown = Pointer.fromJSON(operation.from).get(wrapper);
      copiedLength += (JSON.stringify(value) ?? "").length;
      if (copiedLength > limits.objectBytes) {
        const message = `copies add up to more than the limit of ${limits.objectBytes} bytes`;
        throw unappliable(`JSON patch: ${where}: ${message}`);
      }
    }
    const [error] = applyOne(wrapper, operation, where);
    if (error) throw unappliable(`JSON patch: ${where}: ${explain(error)}`);
  });
  return wrapper.doc;
}

function applyOne(wrapper: { doc: unknown }, operation: Operation, where: string) {
  if (operation.op === "remove" && operation.path === "/doc") {
    throw unappliable(`JSON patch: ${where}: the whole document cannot be removed`);
  }
  try {
    return applyPatch(wrapper, [operation]);
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : "cannot be applied";
    throw unappliable(`JSON patch: ${where}: ${reason}`);
  }
}

function explain(error: Error): string {
  if (error.name === "MissingError") return "there is nothing at this path";
  if (error.name === "TestError") return "the test failed: the value differs";
  return error.message;
}

const shown = (path: string): string => path.slice("/doc".length);

function readOperation(each: unknown, index: number): Operation {
  const name = `JSON patch: operation ${index}`;
  if (!isObject(each)) throw badPatch(`${name} must be an object`);
  const { op } = each;
  const known =
    typeof op === "string" && (withValue.has(op) || withFrom.has(op) || op === "remove");
  if (!known) throw badPatch(`${name}: unknown "op" ${JSON.stringify(op)}`);
  const path = pointer(each.path, `${name}: "path"`);
  if (withValue.has(op)) {
    if (!Object.hasOwn(each, "value")) throw badPatch(`${name}: ${op} needs a "value"`);
    return { op, path, value: each.value } as Operation;
  }
  if (!withFrom.has(op)) return { op, path } as Operation;
  const from = pointer(each.from, `${name}: "from"`);
  if (op === "move" && path.startsWith(`${from}/`)) {
    throw badPatch(`${name}: cannot move a value into itself`);
  }
  return { op, path, from } as Operation;
}

/** A pointer (RFC 6901), moved under the wrapper. */
function pointer(value: unknown, name: string): string {
  const shape = /^(\/([^~/]|~[01])*)*$/;
  if (typeof value !== "string" || value.length > limits.selectorLength || !shape.test(value)) {
    throw badPatch(`${name} must be a JSON pointer such as "/spec/replicas"`);
  }
  // These names reach into JavaScript's objects instead of the document.
  if (/\/(__proto__|constructor|prototype)(\/|$)/.test(value)) {
    throw badPatch(`${name} must not contain ${JSON.stringify(value)}`);
  }
  return `/doc${value}`;
}
