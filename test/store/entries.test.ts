import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Entries, Version } from "../../ha/store/entries.ts";
import { unbounded } from "../../ha/store/text.ts";

const version = new Version("", 2, 2, 1, 0n);

/** What `visit` and `count` should answer, from a sorted array. */
function check(entries: Entries, live: ReadonlySet<string>, all: ReadonlySet<string>): void {
  const sorted = [...all].sort();
  const bounds = ["", "k", sorted[10] ?? "a", sorted[sorted.length >> 1] ?? "b", "z"];
  for (const start of bounds) {
    for (const end of [undefined, unbounded, ...bounds]) {
      const inside = sorted.filter((key) =>
        end === undefined ? key === start : key >= start && key < end,
      );
      const seen: string[] = [];
      entries.visit(start, end, (entry) => seen.push(entry.key) > 0);
      assert.deepEqual(seen, inside);
      assert.equal(entries.count(start, end), inside.filter((key) => live.has(key)).length);
    }
  }
  assert.equal(entries.live, live.size);
}

test("thousands of keys in any order stay in order, are counted, and can go", () => {
  fc.assert(
    fc.property(
      fc.constantFrom("ascending", "descending", "mixed"),
      fc.integer({ min: 1, max: 2500 }),
      fc.nat(6),
      fc.boolean(),
      (order, count, stride, loaded) => {
        const entries = new Entries();
        if (loaded) entries.beginLoad();
        const live = new Set<string>();
        const all = new Set<string>();
        for (let index = 0; index < count; index++) {
          const at =
            order === "ascending"
              ? index
              : order === "descending"
                ? count - index
                : (index * 7919) % 3001;
          const key = `k${String(at).padStart(5, "0")}`;
          const entry = entries.obtain(key);
          entries.set(entry, version);
          assert.equal(entries.obtain(key), entry);
          all.add(key);
          live.add(key);
        }
        if (loaded) entries.endLoad();
        check(entries, live, all);
        for (const [index, key] of [...all].entries()) {
          if (index % (stride + 1) === 0) {
            entries.set(entries.obtain(key), undefined);
            live.delete(key);
            if (index % 2 === 0) {
              entries.remove(entries.obtain(key));
              all.delete(key);
              assert.equal(entries.get(key), undefined);
            }
          }
        }
        check(entries, live, all);
      },
    ),
    { numRuns: 30 },
  );
});
