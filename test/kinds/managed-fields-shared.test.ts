import assert from "node:assert/strict";
import { test } from "node:test";
import {
  shared,
  sharedFromText,
  textOf,
} from "../../services/kinds/machinery/managed-fields/shared.ts";

const textOfSet = (name: string) => `{"f:status":{"k:{\\"ip\\":\\"${name}\\"}":{".":{}}}}`;

test("equal sets are one, frozen and with their text", () => {
  const text = textOfSet("10.0.0.1");
  const set = sharedFromText(text);
  assert.equal(shared(JSON.parse(text)), set);
  assert.equal(textOf(set), text);
  assert.ok(Object.isFrozen(set) && Object.isFrozen(set["f:status"]));
  assert.throws(() => sharedFromText("{"), SyntaxError);
});

test("sets of ten thousand pods do not pile up, and those in use stay", () => {
  const first = sharedFromText(textOfSet("pod-0"));
  const used = sharedFromText(textOfSet("used"));
  for (let pod = 1; pod <= 12_000; pod++) {
    sharedFromText(textOfSet(`pod-${pod}`));
    if (pod % 1_000 === 0) assert.equal(sharedFromText(textOfSet("used")), used);
  }
  assert.notEqual(sharedFromText(textOfSet("pod-0")), first);
  assert.equal(textOf(first), textOfSet("pod-0"));
});
