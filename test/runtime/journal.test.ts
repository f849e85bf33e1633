import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import {
  checkMark,
  Journal,
  readJournal,
  readJournalHeader,
} from "../../ha/runtime/production/journal.ts";
import { journalLimits } from "../../ha/runtime/production/journal-limits.ts";
import {
  decodeHeader,
  encodeHeader,
  encodeRecord,
  fileOf,
  headerSlotBytes,
  type JournalHeader,
  operationBytes,
  readRecords,
  recordBytes,
  recordsStart,
  slotOf,
} from "../../ha/runtime/production/journal-records.ts";
import { openLevelDisk } from "../../ha/runtime/production/level-disk.ts";
import type { DiskOperation } from "../../ha/runtime/types.ts";
import { diskContract, scan, write } from "../contract/disk.ts";
import {
  assertHas,
  change,
  crashed,
  folders,
  header,
  inDirectory,
  isCorrupt,
  key,
  lazy,
  log,
  losePower,
  open,
  opened,
  small,
  value,
} from "./journal-place.ts";

for (const [name, journal] of [
  ["a journal that turns often", { ...small, applyDelayMillis: 1 }],
  ["a journal that feeds LevelDB late", lazy],
] as const) {
  diskContract(`LevelDB behind ${name}`, async () => {
    const directory = await mkdtemp(join(tmpdir(), "trireme-journal-"));
    const disk = await openLevelDisk(directory, log, { journal });
    return {
      disk,
      settle: (promise) => promise,
      reopen: () => openLevelDisk(directory, log, { journal }),
      dispose: async () => {
        await disk.close();
        await rm(directory, { recursive: true });
      },
    };
  });
}

test("records are read back, and end where the last one does", () => {
  const begun = {
    generation: 7,
    first: 41,
    replayFrom: 41,
    durable: { sequence: 40, logs: [{ log: 3, logBytes: 9 }] },
  };
  const operation = fc.record(
    { key: fc.uint8Array({ maxLength: 20 }), value: fc.uint8Array({ maxLength: 60 }) },
    { requiredKeys: ["key"] },
  );
  const groups = fc.array(fc.array(fc.array(operation, { maxLength: 4 }), { maxLength: 3 }), {
    maxLength: 6,
  });
  fc.assert(
    fc.property(groups, fc.nat(), fc.nat(), (written, flipAt, flip) => {
      const file = Buffer.alloc(16 * 1024);
      const ends = [recordsStart];
      for (const [index, writes] of written.entries()) {
        const bytes = writes.flat().reduce((sum, one) => sum + operationBytes(one), 0);
        const at = ends.at(-1) ?? 0;
        encodeRecord(file.subarray(at), 7, 41 + index, writes);
        ends.push(at + recordBytes(bytes));
      }
      const end = ends.at(-1) ?? 0;
      const whole = readRecords(file, begun);
      assert.deepEqual(
        whole.records.map(({ operations }) => plain(operations)),
        written.map((writes) => plain(writes.flat())),
      );
      assert.deepEqual([whole.end, whole.damaged], [end, false]);
      if (end === recordsStart) return;
      // One flipped bit, padding aside: the record it is in is not read, and all before it are.
      const at = recordsStart + (flipAt % (end - recordsStart));
      file[at] = file[at]! ^ (1 << (flip % 8));
      const hit = ends.findIndex((next) => next > at) - 1;
      const read = readRecords(file, begun);
      if (read.records.length === written.length) return;
      assert.equal(read.records.length, hit);
      assert.equal(read.damaged, hit < written.length - 1);
    }),
  );
});

function plain(operations: readonly DiskOperation[]): unknown {
  return operations.map((one) => [[...one.key], one.value ? [...one.value] : undefined]);
}

test("of two header slots the newer whole one counts", () => {
  const make = (generation: number): JournalHeader => {
    const logs = [
      { log: 12, logBytes: 2 ** 33 + generation },
      { log: generation, logBytes: 0 },
    ];
    const durable = { sequence: 2 ** 40 + 1, logs: logs.slice(0, generation > 4 ? 2 : 1) };
    return { generation, first: 2 ** 40 + 2, replayFrom: 2 ** 40 + 2, durable };
  };
  const blocks = Buffer.alloc(recordsStart);
  assert.equal(decodeHeader(blocks), undefined);
  for (const generation of [2, 4, 6]) {
    const at = slotOf(generation) * headerSlotBytes;
    encodeHeader(make(generation)).subarray(0, 30).copy(blocks, at);
    // Torn: the one before it still counts.
    if (generation > 2) assert.deepEqual(decodeHeader(blocks), make(generation - 2));
    encodeHeader(make(generation)).copy(blocks, at);
    assert.deepEqual(decodeHeader(blocks), make(generation));
  }
});

test("what is acknowledged survives a crash before LevelDB has any of it", () =>
  inDirectory(async (directory) => {
    const disk = await open(directory, lazy);
    for (let index = 0; index < 20; index++) {
      await write(disk, [{ key: key(index), value: value(index) }], index % 3 === 0);
    }
    await assertHas(await crashed(directory), 20);
  }));

test("every place of a turn of the files is survived", () =>
  inDirectory(async (directory) => {
    const disk = await open(directory, lazy);
    for (let index = 0; index < 200; index++) {
      await write(disk, [{ key: key(index), value: value(index) }], true);
      if (index % 7 !== 0 && index % 57 > 3) continue;
      const image = await crashed(directory, `crashed-${index}`);
      await losePower(image, () => (index % 3) / 2);
      await assertHas(image, index + 1);
    }
    assert.ok((await header(directory)).generation >= 3, "the files have not turned");
  }));

test("a clean stop leaves nothing to replay, and the journal may go", () =>
  inDirectory(async (directory) => {
    const disk = await open(directory);
    await write(disk, [{ key: key(0), value: value(0) }], true);
    await disk.close();
    const { first, replayFrom, durable } = await header(directory);
    assert.deepEqual([replayFrom, durable.sequence], [first, first - 1]);
    await rm(join(directory, "journal-0"));
    await rm(join(directory, "journal-1"));
    await assertHas(directory, 1);
    await assertHas(directory, 1);
  }));

test("a torn last record is left out, and what was before it kept", () =>
  inDirectory(async (directory) => {
    const disk = await open(directory, lazy);
    for (let index = 0; index < 5; index++) {
      await write(disk, [{ key: key(index), value: value(index) }], true);
    }
    const image = await crashed(directory);
    const name = `journal-${fileOf((await header(image)).generation)}`;
    const bytes = await readFile(join(image, name));
    const { end } = readRecords(bytes, await header(image));
    await change(join(image, name), end - 50, new Uint8Array(50));
    await assertHas(image, 4);
  }));

test("a damaged record in the middle is reported with file and offset", () =>
  inDirectory(async (directory) => {
    const disk = await open(directory, lazy);
    for (let index = 0; index < 5; index++) {
      await write(disk, [{ key: key(index), value: value(index) }], true);
    }
    const image = await crashed(directory);
    const name = `journal-${fileOf((await header(image)).generation)}`;
    const one = recordBytes(operationBytes({ key: key(0), value: value(0) }));
    await change(join(image, name), recordsStart + 2 * one + 60, Uint8Array.of(0xaa));
    const offset = `byte ${recordsStart + 2 * one}`;
    await assert.rejects(open(image), isCorrupt(image, name, offset));
  }));

test("the loss of a last record that LevelDB has is reported", () =>
  inDirectory(async (directory) => {
    const disk = await open(directory, lazy);
    await write(disk, [{ key: key(0), value: value(0) }], true);
    await scan(disk, { start: key(0), end: key(1), limit: 1 });
    const image = await crashed(directory);
    const name = `journal-${fileOf((await header(image)).generation)}`;
    await change(join(image, name), recordsStart + 60, Uint8Array.of(0xaa));
    await assert.rejects(open(image), isCorrupt("LevelDB holds record 1"));
  }));

test("missing files, damaged headers and a foreign LevelDB are reported", () =>
  inDirectory(async (directory) => {
    const disk = await open(directory, lazy);
    for (let index = 0; index < 250; index++) {
      await write(disk, [{ key: key(index), value: value(index) }], true);
    }
    await scan(disk, { start: key(0), end: key(1), limit: 1 });
    const current = fileOf((await header(directory)).generation);
    const cases: [string, (image: string) => Promise<void>, ...string[]][] = [
      ["one", (image) => rm(join(image, `journal-${current}`)), `journal-${current} is missing`],
      ["other", (image) => rm(join(image, `journal-${1 - current}`)), "is missing"],
      [
        "both",
        async (image) => {
          await rm(join(image, "journal-0"));
          await rm(join(image, "journal-1"));
        },
        "journal-0 and journal-1 are missing",
      ],
      [
        "header",
        (image) => change(join(image, "journal-1"), 0, new Uint8Array(recordsStart)),
        "journal-1: damaged header",
      ],
      [
        "newest header",
        async (image) => {
          const { generation } = await header(image);
          const at = slotOf(generation) * headerSlotBytes;
          await change(join(image, `journal-${current}`), at, new Uint8Array(56));
        },
        "damaged header",
      ],
      [
        "LevelDB",
        async (image) => {
          for (const name of await readdir(image)) {
            if (!/^(journal|column)/.test(name)) await rm(join(image, name));
          }
        },
        "LevelDB ends with record 0",
        "durable up to",
      ],
      [
        "column",
        (image) => rm(join(image, "column-R"), { recursive: true }),
        "column-R is missing",
      ],
      [
        "manifest",
        (image) => rm(join(image, "column-L/CURRENT")),
        "column-L is missing, or has no",
      ],
    ];
    for (const [name, damage, ...parts] of cases) {
      const image = await crashed(directory, name.replace(" ", "-"));
      await damage(image);
      await assert.rejects(open(image), isCorrupt(...parts), name);
    }
  }));

test("LevelDB's own logs: damage is reported up to its durable place, and healed beyond", () =>
  inDirectory(async (directory) => {
    const disk = await open(directory);
    for (let index = 0; index < 400; index++) {
      await write(disk, [{ key: key(index), value: value(index) }], true);
    }
    await disk.bytesUsed();
    const { durable } = await header(directory);
    for (const [index, folder] of folders.entries()) {
      const position = durable.logs[index];
      assert.ok(position);
      const name = join(folder, `${String(position.log).padStart(6, "0")}.log`);
      const image = (what: string) => crashed(directory, `${what}-${index}`);
      assert.ok((await readFile(join(directory, name))).length > position.logBytes + 300);
      const beyond = await image("beyond");
      await change(join(beyond, name), position.logBytes + 20, new Uint8Array(40));
      await assertHas(beyond, 400);
      const before = await image("before");
      await change(join(before, name), 20, Uint8Array.of(0xaa, 0xaa));
      await assert.rejects(open(before), isCorrupt(name));
      const short = await image("short");
      await truncate(join(short, name), position.logBytes - 10);
      await assert.rejects(open(short), isCorrupt(name));
      const gone = await image("gone");
      await rm(join(gone, name));
      await assert.rejects(open(gone), isCorrupt(`${name} is missing`));
    }
  }));

test("a write larger than a journal file goes around it, in order", () =>
  inDirectory(async (directory) => {
    const disk = await open(directory, lazy);
    const large = value(3, 50_000);
    const done: number[] = [];
    const writes = [
      [{ key: key(0), value: value(0) }],
      [{ key: key(1), value: large }, { key: key(0) }],
      [{ key: key(0), value: value(9) }],
    ].map(async (operations, index) => {
      await write(disk, operations, index === 0);
      done.push(index);
    });
    let around = true;
    // Scans at any moment of it come to an end.
    const scans: Promise<unknown>[] = [];
    const ask = (): void => {
      scans.push(scan(disk, { start: key(0), end: key(9), limit: 9 }));
      if (around) setImmediate(ask);
    };
    ask();
    await Promise.all(writes);
    around = false;
    await Promise.all(scans);
    await write(disk, [{ key: key(1), value: large }], false);
    const image = await crashed(directory);
    await losePower(image, () => 0);
    const again = await open(image, lazy);
    assert.deepEqual(done, [0, 1, 2]);
    // Two groups, each with its number: the first three were called together.
    assert.equal((await header(directory)).first, 3);
    assert.deepEqual(again.get(key(0)), Buffer.from(value(9)));
    assert.equal(again.get(key(1))?.length, large.length);
    await write(again, [{ key: key(2), value: value(2) }], true);
    await again.close();
    const last = await open(image);
    assert.equal(last.get(key(1))?.length, large.length);
    assert.ok(last.get(key(2)));
  }));

test("nothing of before is replayed over a write that goes around the journal", () =>
  inDirectory(async (directory) => {
    const durable = (sequence: number) => ({ sequence, logs: [{ log: 0, logBytes: 0 }] });
    const events = { makeDurable: async () => durable(journal.next - 1), failed: assert.fail };
    const limits = journalLimits(small);
    const journal: Journal = await Journal.begin(directory, durable(0), limits, events);
    const append = (index: number): Promise<void> => {
      const operation = { key: key(index), value: value(index) };
      return new Promise((resolve, reject) => {
        journal.append([[operation]], operationBytes(operation), (error) => {
          if (error === undefined) resolve();
          else reject(error as Error);
        });
      });
    };
    const replayed = async (): Promise<number[]> => {
      const found = await readJournalHeader(directory);
      assert.ok(found);
      return (await readJournal(directory, found)).map(({ sequence }) => sequence);
    };
    await append(1);
    await append(2);
    assert.deepEqual(await replayed(), [1, 2]);
    await journal.skip();
    assert.deepEqual(await replayed(), []);
    const begun = await readJournalHeader(directory);
    assert.ok(begun);
    // LevelDB may have it, or not yet: both are sound. Anything else is not.
    for (const mark of [2, 3]) checkMark(directory, begun, [], mark);
    for (const mark of [1, 4]) {
      assert.throws(() => checkMark(directory, begun, [], mark), isCorrupt(directory));
    }
    await append(4);
    assert.deepEqual(await replayed(), [4]);
    await journal.close();
  }));

test("bytesUsed counts data, not the journal's empty space", () =>
  inDirectory(async (directory) => {
    const disk = await openLevelDisk(directory, log);
    opened.add(disk);
    assert.ok((await disk.bytesUsed()) < 100_000);
  }));
