import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import type { DiskError, DiskOperation } from "../../ha/runtime/types.ts";
import { scan, write } from "../contract/disk.ts";
import {
  contentOf,
  crashed,
  inDirectory,
  key,
  losePower,
  open,
  small,
  value,
} from "./journal-place.ts";

test("whatever is written, crashed and lost: the state is that after the last write done", () =>
  fc.assert(
    fc.asyncProperty(histories(), async (history) => {
      await inDirectory(async (directory) => {
        let home = directory;
        let disk = await open(home, { ...small, applyDelayMillis: 1 });
        const model = new Map<string, string>();
        for (const [index, step] of history.entries()) {
          if (step.crash === undefined) {
            const pending = step.writes.map((operations) => {
              for (const one of operations) {
                const name = Buffer.from(one.key).toString("hex");
                if (one.value) model.set(name, Buffer.from(one.value).toString("hex"));
                else model.delete(name);
              }
              return write(disk, operations, step.sync);
            });
            for (const name of [...model.keys()].slice(0, 3)) {
              const found = disk.get(Buffer.from(name, "hex"));
              assert.equal(found && Buffer.from(found).toString("hex"), model.get(name));
            }
            await Promise.all(pending);
          } else if (step.crash < 0) {
            await disk.close();
            disk = await open(home);
          } else {
            // Quiet, so that the copy is of one moment.
            await disk.bytesUsed();
            const image = await crashed(home, `image-${index}`);
            const { crash } = step;
            await losePower(image, () => crash);
            await disk.close();
            home = image;
            disk = await open(home, { ...small, applyDelayMillis: 1 });
          }
        }
        const found = await contentOf(disk);
        assert.deepEqual([...found].sort(), [...model].sort());
      });
    }),
    { numRuns: 40, endOnFailure: true },
  ));

function histories() {
  const operation = fc
    .record({ index: fc.nat(12), length: fc.nat(4_000), fill: fc.nat(255), put: fc.nat(3) })
    .map(({ index, length, fill, put }): DiskOperation => {
      return put > 0 ? { key: key(index), value: value(fill, length) } : { key: key(index) };
    });
  const writes = fc.record({
    writes: fc.array(fc.array(operation, { maxLength: 5 }), { minLength: 1, maxLength: 4 }),
    sync: fc.boolean(),
    crash: fc.constant(undefined),
  });
  const crash = fc.record({
    writes: fc.constant([] as DiskOperation[][]),
    sync: fc.constant(false),
    crash: fc.oneof(fc.constant(-1), fc.double({ min: 0, max: 1, noNaN: true })),
  });
  return fc.array(fc.oneof({ weight: 5, arbitrary: writes }, { weight: 1, arbitrary: crash }), {
    minLength: 1,
    maxLength: 30,
  });
}

const quiet = `const quiet = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet };`;
const levelDisk = JSON.stringify(import.meta.resolve("../../ha/runtime/production/level-disk.ts"));

test("a process killed under writes has lost nothing that it acknowledged, and kept the order", () =>
  inDirectory(async (directory) => {
    let from = 0;
    for (let round = 0; round < 6; round++) {
      const program = `
        import { openLevelDisk } from ${levelDisk};
        ${quiet}
        const journal = ${JSON.stringify({ ...small, applyDelayMillis: 2 })};
        const disk = await openLevelDisk(${JSON.stringify(directory)}, quiet, { journal, writeBufferBytes: 65536 });
        let next = ${from};
        const one = () => {
          const index = next++;
          const key = Uint8Array.of(0x4c, index >> 8, index & 255);
          // Keys of one write, in three databases: all or none. Unsynced ones between.
          const twin = Uint8Array.of(0x52, index >> 8, index & 255);
          // Now and then one that is larger than a journal file.
          const length = index % 11 < 3 ? 17_000 : 10 + (index * 37) % 900;
          const value = new Uint8Array(length).fill(index & 255);
          const last = { key: Uint8Array.of(0x6c), value: key };
          disk.write([{ key, value }, { key: twin, value }, last], { sync: index % 3 > 0 }, (error) => {
            if (error) process.exit(3);
            if (index % 3 > 0) process.stdout.write(index + "\\n");
            if (next < 60000) one();
          });
        };
        one();
        one();
      `;
      const child = spawn(process.execPath, ["--input-type=module", "-e", program]);
      let output = "";
      let errors = "";
      child.stderr.on("data", (chunk) => (errors += chunk));
      const closed = new Promise((resolve) => child.once("close", resolve));
      await new Promise<void>((resolve) => {
        child.once("exit", () => resolve());
        child.stdout.on("data", (chunk) => {
          output += chunk;
          if (output.split("\n").length > 150 + round * 40) resolve();
        });
      });
      child.kill("SIGKILL");
      await closed;
      const acknowledged = Number(output.split("\n").at(-2));
      assert.ok(acknowledged > from, `${output.slice(-200)} ${errors}`);
      const disk = await open(directory);
      let count = 0;
      const at = (column: number, index: number) => Uint8Array.of(column, index >> 8, index & 255);
      while (disk.get(at(0x4c, count))) {
        assert.ok(disk.get(at(0x52, count)), `half of ${count}`);
        count++;
      }
      assert.ok(count > acknowledged, `${acknowledged} was acknowledged, ${count} are there`);
      for (const column of [0x4c, 0x52]) {
        const range = { start: at(column, 0), end: at(column, 0xffff), limit: 100_000 };
        assert.equal((await scan(disk, range)).length, count, "there is a hole");
      }
      const last = disk.get(Uint8Array.of(0x6c));
      assert.deepEqual(
        last && Buffer.from(last),
        Buffer.from(at(0x4c, count - 1)),
        "an older write won",
      );
      await disk.close();
      from = count;
    }
  }));

/** A file system of 3 MiB, where that may be made. */
function tiny(directory: string): boolean {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  return spawnSync("mount", ["-t", "tmpfs", "-o", "size=3m", "none", directory]).status === 0;
}

test("a full file system ends the disk with `full`, and loses nothing acknowledged", (context) =>
  inDirectory(async (parent) => {
    const directory = join(parent, "tiny");
    await mkdir(directory);
    if (!tiny(directory)) {
      context.skip("needs root and tmpfs");
      return;
    }
    try {
      const journal = { journalBytes: 256 * 1024, zeroStepBytes: 16 * 1024, applyDelayMillis: 1 };
      const disk = await open(directory, journal);
      let acknowledged = 0;
      let failure: DiskError | undefined;
      for (let index = 0; index < 2_000 && !failure; index++) {
        const bytes = crypto.getRandomValues(new Uint8Array(4_000));
        await write(disk, [{ key: key(index), value: bytes }], true).then(
          () => acknowledged++,
          (error: DiskError) => (failure = error),
        );
      }
      assert.equal(failure?.kind, "full", failure?.message);
      await assert.rejects(write(disk, [{ key: key(0) }], true), { kind: "full" });
      await disk.close().catch(() => undefined);
      // With room again, all of it is there.
      const roomy = join(parent, "roomy");
      await cp(directory, roomy, { recursive: true });
      const again = await open(roomy, journal);
      for (let index = 0; index < acknowledged; index++)
        assert.ok(again.get(key(index)), `${index}`);
      await again.close();
    } finally {
      spawnSync("umount", [directory]);
    }
  }));
