/** Replays `scenarios/*.txt`; `REWRITE=1` writes the transcripts anew. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { replay } from "./scenario.ts";

const folder = new URL("./scenarios/", import.meta.url);

for (const name of readdirSync(folder).sort()) {
  test(`scenario ${name}`, () => {
    const file = new URL(name, folder);
    const before = readFileSync(file, "utf8");
    const after = replay(before);
    if (process.env["REWRITE"] === "1") writeFileSync(file, after);
    else assertSameLines(after.split("\n"), before.split("\n"), name);
  });
}

function assertSameLines(
  actual: readonly string[],
  expected: readonly string[],
  name: string,
): void {
  const line = actual.findIndex((text, position) => text !== expected[position]);
  assert.equal(actual[line], expected[line], `${name}:${line + 1}`);
  assert.equal(actual.length, expected.length, `${name} is longer or shorter`);
}
