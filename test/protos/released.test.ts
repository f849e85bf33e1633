/** The contracts against the record of the last release: numbers, types and methods stay. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { contractsOf, faultsOf, parseRecord, recordOf } from "./released.ts";

const proto = new URL("../../proto/", import.meta.url);
const file = new URL("released.txt", proto);
const current = contractsOf(readFileSync(new URL("gen/descriptors.binpb", proto)));
const text = readFileSync(file, "utf8");

test("the contracts keep what was released", () => {
  assert.deepEqual(faultsOf(current, parseRecord(text)), []);
  if (process.env["REWRITE"] === "1") writeFileSync(file, recordOf(current, parseRecord(text)));
});

test("the record is complete and in order", () => {
  const record = parseRecord(text);
  assert.ok(record.size > 300, `${record.size} blocks`);
  const titles = [...record.keys()];
  assert.deepEqual(titles, [...titles].sort());
});

/** The faults of today's contracts after a release that had `changed` in place of `line`. */
function after(line: string, changed: string): string[] {
  assert.ok(text.includes(line), line);
  return faultsOf(current, parseRecord(text.replace(line, changed)));
}

const pod = "message trireme.core.v1.Pod\n  1 apiVersion string\n";

test("a number with another name or type is found", () => {
  assert.deepEqual(after(pod, pod.replace("apiVersion", "version")), [
    'message trireme.core.v1.Pod: 1 was "version string", is "apiVersion string"',
  ]);
  assert.deepEqual(after(pod, pod.replace("string", "int32")), [
    'message trireme.core.v1.Pod: 1 was "apiVersion int32", is "apiVersion string"',
  ]);
});

test("a field that is gone has to be reserved", () => {
  assert.deepEqual(after(pod, `${pod}  99 colour string\n`), [
    'message trireme.core.v1.Pod: 99 was "colour string" and is gone: ' +
      'say `reserved 99; reserved "colour";`',
  ]);
  const reserving = new Map(current);
  const title = "message trireme.core.v1.Pod";
  const block = current.get(title);
  assert.ok(block);
  const reserved = { names: ["colour"], has: (number: number) => number === 99 };
  reserving.set(title, { ...block, reserved });
  const record = parseRecord(text.replace(pod, `${pod}  99 colour string\n`));
  assert.deepEqual(faultsOf(reserving, record), []);
  // The next record still knows the number, so that a release after the next may not use it.
  assert.match(recordOf(reserving, record), /^ {2}99 colour string$/m);
});

test("a new field is optional, for the document and on the wire", () => {
  const taint = "message trireme.core.v1.Taint\n  1 key string\n";
  assert.deepEqual(after(taint, taint.replace("  1 key string\n", "")), [
    'message trireme.core.v1.Taint: the new field 1 "key string" may not be required',
  ]);
  const title = "message trireme.core.v1.Pod";
  const block = current.get(title);
  assert.ok(block);
  const plain = new Map(current).set(title, {
    ...block,
    lines: [...block.lines, { key: "6", meaning: "colour string" }],
    withoutPresence: ["6"],
  });
  assert.deepEqual(faultsOf(plain, parseRecord(text)), [
    'message trireme.core.v1.Pod: the new field 6 "colour string" must be optional',
  ]);
});

test("messages, methods and extensions that are gone or changed are found", () => {
  assert.deepEqual(after(pod, `message trireme.core.v1.Oar\n${pod}`), [
    "message trireme.core.v1.Oar is gone: keep it, marked as deprecated",
  ]);
  const get = "  Get trireme.meta.v1.GetRequest -> trireme.core.v1.Pod\n";
  assert.deepEqual(after(get, get.replace("-> ", "-> stream ")), [
    "service trireme.core.v1.Pods: Get was " +
      '"trireme.meta.v1.GetRequest -> stream trireme.core.v1.Pod", is ' +
      '"trireme.meta.v1.GetRequest -> trireme.core.v1.Pod"',
  ]);
  assert.deepEqual(after(get, `${get}  Row trireme.core.v1.Pod -> trireme.core.v1.Pod\n`), [
    'service trireme.core.v1.Pods: method Row was "trireme.core.v1.Pod -> trireme.core.v1.Pod" ' +
      "and is gone: keep it, marked as deprecated",
  ]);
  const key = "extension trireme.meta.v1.merge_key\n  50001 ";
  assert.equal(after(key, key.replace("50001", "50009")).length, 1);
});
