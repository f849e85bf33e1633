import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type {
  Disk,
  DiskEntry,
  DiskError,
  DiskOperation,
  DiskRange,
} from "../../ha/runtime/types.ts";

/** A fresh, empty disk and the world it lives in. */
export interface DiskFixture {
  readonly disk: Disk;
  /** Lets the world go on until the promise is settled. */
  settle<T>(promise: Promise<T>): Promise<T>;
  /** Opens the same content again, after `close`. */
  reopen(): Promise<Disk>;
  dispose(): Promise<void>;
}

const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(value));
const put = (key: string, value: string): DiskOperation => ({ key: text(key), value: text(value) });
const del = (key: string): DiskOperation => ({ key: text(key) });
const shown = (bytes: Uint8Array | undefined): string | undefined =>
  bytes && Buffer.from(bytes).toString();

export function write(
  disk: Disk,
  operations: readonly DiskOperation[],
  sync = false,
): Promise<void> {
  return new Promise((resolve, reject) => {
    disk.write(operations, { sync }, (error) => (error ? reject(error) : resolve()));
  });
}

export function scan(disk: Disk, range: DiskRange): Promise<readonly DiskEntry[]> {
  return new Promise((resolve, reject) => {
    disk.scan(range, (error, page) => (error ? reject(error) : resolve(page)));
  });
}

/** The guarantees of `Disk` in `ha/runtime/types.ts`, for any implementation. */
export function diskContract(name: string, open: () => Promise<DiskFixture>): void {
  const check = (title: string, body: (fixture: DiskFixture) => Promise<void>): void => {
    test(title, async () => {
      const fixture = await open();
      try {
        await body(fixture);
      } finally {
        await fixture.dispose();
      }
    });
  };

  describe(`Disk: ${name}`, () => {
    check("get sees every write that was called before, done or not", async (fixture) => {
      const { disk } = fixture;
      const first = write(disk, [put("a", "1"), put("b", "2")]);
      assert.equal(shown(disk.get(text("a"))), "1");
      const second = write(disk, [put("a", "3"), del("b"), put("c", ""), put("a", "4")], true);
      assert.equal(shown(disk.get(text("a"))), "4");
      assert.equal(disk.get(text("b")), undefined);
      await fixture.settle(Promise.all([first, second]));
      assert.equal(shown(disk.get(text("a"))), "4");
      assert.equal(disk.get(text("b")), undefined);
      assert.equal(shown(disk.get(text("c"))), "");
      assert.equal(disk.get(text("d")), undefined);
    });

    check("done is never called synchronously, and in the order of the calls", async (fixture) => {
      const { disk } = fixture;
      const order: number[] = [];
      const all = Array.from({ length: 50 }, (_, index) => {
        return new Promise<void>((resolve, reject) => {
          disk.write([put(`k${index}`, "v")], { sync: index % 7 === 0 }, (error) => {
            order.push(index);
            if (error) reject(error);
            else resolve();
          });
        });
      });
      assert.deepEqual(order, []);
      await fixture.settle(Promise.all(all));
      assert.deepEqual(order, [...order.keys()]);
      assert.equal(order.length, 50);
    });

    check("an empty write completes", async (fixture) => {
      await fixture.settle(write(fixture.disk, [], true));
    });

    check("scan pages through a range both ways", async (fixture) => {
      const { disk } = fixture;
      const keys = Array.from({ length: 25 }, (_, index) => `k${String(index).padStart(2, "0")}`);
      const writing = write(disk, [put("j", "no"), put("l", "no"), ...keys.map((k) => put(k, k))]);
      const range = { start: text("k00"), end: text("k20") };
      // Called before the write is done: a scan sees what was written before it.
      const early = scan(disk, { ...range, limit: 100 });
      await fixture.settle(writing);
      const names = async (reverse: boolean, limit: number): Promise<string[]> => {
        const page = await fixture.settle(scan(disk, { ...range, reverse, limit }));
        for (const [key, value] of page) assert.deepEqual(key, value);
        return page.map(([key]) => shown(key) ?? "");
      };
      assert.equal((await fixture.settle(early)).length, 20);
      assert.deepEqual(await names(false, 100), keys.slice(0, 20));
      assert.deepEqual(await names(false, 5), keys.slice(0, 5));
      assert.deepEqual(await names(true, 3), ["k19", "k18", "k17"]);
      assert.deepEqual(await names(true, 100), keys.slice(0, 20).reverse());
      const nothing = { start: text("x"), end: text("y"), limit: 1 };
      assert.deepEqual(await fixture.settle(scan(disk, nothing)), []);
    });

    check("keys order as unsigned bytes, and every byte value is kept", async (fixture) => {
      const { disk } = fixture;
      const keys = [0, 1, 127, 128, 200, 255].map((byte) => Uint8Array.of(7, byte));
      const value = Uint8Array.from({ length: 256 }, (_, index) => index);
      await fixture.settle(
        write(
          disk,
          keys.toReversed().map((key) => ({ key, value })),
        ),
      );
      const range = { start: Uint8Array.of(7), end: Uint8Array.of(8), limit: 10 };
      const page = await fixture.settle(scan(disk, range));
      assert.deepEqual(
        page.map(([key]) => [...key]),
        keys.map((key) => [...key]),
      );
      assert.deepEqual([...(page[3]?.[1] ?? [])], [...value]);
      assert.deepEqual([...(disk.get(Uint8Array.of(7, 255)) ?? [])], [...value]);
    });

    check("a page larger than one read step is whole", async (fixture) => {
      const { disk } = fixture;
      const value = new Uint8Array(3_000).fill(9);
      const operations = Array.from({ length: 1_500 }, (_, index) => {
        return { key: text(`big${String(index).padStart(4, "0")}`), value };
      });
      await fixture.settle(write(disk, operations));
      const range = { start: text("big"), end: text("bih"), limit: 1_400 };
      const page = await fixture.settle(scan(disk, range));
      assert.equal(page.length, 1_400);
      assert.equal(shown(page.at(-1)?.[0]), "big1399");
    });

    check("content outlives close; bytesUsed counts what was just written", async (fixture) => {
      await fixture.settle(write(fixture.disk, [put("kept", "yes")], true));
      await fixture.settle(fixture.disk.close());
      const disk = await fixture.reopen();
      assert.equal(shown(disk.get(text("kept"))), "yes");
      const before = await disk.bytesUsed();
      await fixture.settle(write(disk, [put("more", "x".repeat(10_000))]));
      assert.ok((await disk.bytesUsed()) >= before + 10_000);
      await fixture.settle(disk.close());
    });

    check(
      "close waits for writes under way, is idempotent, and refuses afterwards",
      async (fixture) => {
        const { disk } = fixture;
        let written = false;
        const writing = write(disk, [put("last", "word")], true).then(() => {
          written = true;
        });
        const closing = disk.close();
        await fixture.settle(Promise.all([closing, disk.close()]));
        await fixture.settle(writing);
        assert.ok(written);
        const closed = (error: DiskError): boolean => error.kind === "closed";
        await assert.rejects(fixture.settle(write(disk, [put("late", "x")])), closed);
        assert.throws(() => disk.get(text("last")), closed);
        const range = { start: text("a"), end: text("z"), limit: 1 };
        await assert.rejects(fixture.settle(scan(disk, range)), closed);
        const again = await fixture.reopen();
        assert.equal(shown(again.get(text("last"))), "word");
        assert.equal(again.get(text("late")), undefined);
        await fixture.settle(again.close());
      },
    );
  });
}
