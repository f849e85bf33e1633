import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { Level } from "level";
import { LogStore } from "../../ha/member/log-store.ts";
import type { LogIndex, Term } from "../../ha/raft/mod.ts";
import { operationBytes } from "../../ha/runtime/production/journal-records.ts";
import { columnBytes, LevelColumns } from "../../ha/runtime/production/level-columns.ts";
import { keepLargeWrite } from "../../ha/runtime/production/level-replay.ts";
import { diskKey, Prefix } from "../../ha/store/layout.ts";
import { scan, write } from "../contract/disk.ts";
import { contentOf, inDirectory, key, open, value } from "./journal-place.ts";

const sizes = { cacheBytes: 64 * 1024, writeBufferBytes: 64 * 1024 };

test("the log and the revisions, which only grow, have columns", () => {
  const entry = {
    term: 1 as Term,
    index: 1 as LogIndex,
    kind: 0,
    data: new Uint8Array(1),
  } as const;
  const [operation] = new LogStore().persist([entry], undefined);
  assert.deepEqual(columnBytes, [operation?.key[0], diskKey(Prefix.revision, 1)[0]]);
});

test("a scan goes through all columns in the order of keys, either way, to its limit", () =>
  inDirectory(async (directory) => {
    const disk = await open(directory);
    const firsts = [0x00, 0x41, 0x4b, 0x4c, 0x4d, 0x51, 0x52, 0x53, 0x6b];
    const keys = firsts.flatMap((first) => [[first], [first, 0], [first, 7, 7]]);
    await write(
      disk,
      keys.map((bytes) => ({ key: Uint8Array.from(bytes), value: Uint8Array.of(bytes.length) })),
      true,
    );
    const bound = fc.array(fc.constantFrom(...firsts, 7), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(bound, bound, fc.boolean(), fc.nat(30), async (a, b, reverse, more) => {
        const [start, end] = [a, b].map((bytes) => Uint8Array.from(bytes)) as [
          Uint8Array,
          Uint8Array,
        ];
        const limit = more + 1;
        const page = await scan(disk, { start, end, reverse, limit });
        const within = keys.filter((bytes) => {
          const at = Uint8Array.from(bytes);
          return Buffer.compare(start, at) <= 0 && Buffer.compare(at, end) < 0;
        });
        const expected = (reverse ? within.toReversed() : within).slice(0, limit);
        assert.deepEqual(
          page.map(([found]) => [...found]),
          expected,
        );
      }),
      { numRuns: 200 },
    );
  }));

test("data from before there were columns is taken over, and what the journal holds put on top", () =>
  inDirectory(async (directory) => {
    const encodings = { keyEncoding: "view", valueEncoding: "view" } as const;
    const before = new Level<Uint8Array, Uint8Array>(directory, encodings);
    await before.open();
    for (let index = 0; index < 2_500; index++) await before.put(key(index), value(index, 700));
    await before.close();
    const disk = await open(directory);
    await write(disk, [{ key: key(0) }, { key: key(1), value: value(7) }], true);
    await disk.close();
    const again = await open(directory);
    assert.equal(again.get(key(0)), undefined);
    assert.deepEqual(again.get(key(1)), Buffer.from(value(7)));
    for (let index = 2; index < 2_500; index++) {
      assert.deepEqual(again.get(key(index)), Buffer.from(value(index, 700)), `key ${index}`);
    }
    assert.equal((await contentOf(again)).size, 2_499);
    await again.close();
    const main = new Level<Uint8Array, Uint8Array>(directory, encodings);
    await main.open();
    const first = (await main.keys().all()).map((found) => found[0]);
    assert.deepEqual(new Set(first), new Set([0x41, 0x6b, 0xff]));
    await main.close();
  }));

test("a large write of which a crash left a part is finished, and is no caller's key", () =>
  inDirectory(async (directory) => {
    const disk = await open(directory);
    await write(disk, [{ key: key(0), value: value(0) }], true);
    await disk.close();
    const operations = [1, 2, 3, 4].map((index) => ({ key: key(index), value: value(index) }));
    const group = [[...operations, { key: key(0) }]];
    const columns = await LevelColumns.open(directory, sizes, undefined);
    const bytes = group.flat().reduce((sum, one) => sum + operationBytes(one), 0);
    await keepLargeWrite(columns, group, bytes);
    await columns.write([operations.slice(1, 2)]);
    await columns.close();
    for (const _ of [1, 2]) {
      const again = await open(directory);
      const expected = operations.map((one) => Buffer.from(one.key).toString("hex"));
      assert.deepEqual([...(await contentOf(again)).keys()], expected.toSorted());
      // A page counts callers' keys alone.
      const range = { start: Uint8Array.of(0x6b), end: Uint8Array.of(0xff, 0xff, 0xff), limit: 1 };
      assert.equal((await scan(again, { ...range, reverse: true })).length, 1);
      await again.close();
    }
  }));

test("the loss of a folder without a journal is a new column, with one it is damage", () =>
  inDirectory(async (directory) => {
    const columns = await LevelColumns.open(join(directory, "new"), sizes, undefined);
    const logs = await columns.sync();
    assert.equal(logs.length, 1 + columnBytes.length);
    await columns.close();
    const elsewhere = join(directory, "other");
    await assert.rejects(LevelColumns.open(elsewhere, sizes, { sequence: 1, logs }), {
      kind: "corrupt",
    });
  }));
