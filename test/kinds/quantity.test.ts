import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  addQuantities,
  bytes,
  canonicalQuantity,
  compareQuantities,
  cpuMillis,
  formatQuantity,
  parseQuantity,
  percentOf,
  quantityOf,
  scaleQuantity,
  subtractQuantities,
} from "../../services/kinds/mod.ts";

test("canonical forms", () => {
  const rows: [string, string][] = [
    ["0", "0"],
    ["0.5", "500m"],
    ["1000m", "1"],
    ["1024", "1024"],
    ["1024Ki", "1Mi"],
    ["1.5Gi", "1536Mi"],
    ["0.5Ki", "512"],
    ["1000k", "1M"],
    ["12e6", "12e6"],
    ["12E3", "12e3"],
    ["1E", "1E"],
    ["-1500m", "-1500m"],
    ["+2", "2"],
    [".5", "500m"],
    ["5.", "5"],
    ["0.1n", "1n"],
    ["1e-3", "1e-3"],
    ["1000Ki", "1000Ki"],
    ["100000E", "9223372036854775807"],
  ];
  for (const [text, expected] of rows) assert.equal(canonicalQuantity(text), expected, text);
});

test("what is no quantity", () => {
  for (const text of [
    "",
    "abc",
    "1.2.3",
    "1 Gi",
    "1gi",
    "Mi",
    "1e",
    "--1",
    ".",
    "1KI",
    "1e99999",
  ]) {
    assert.equal(parseQuantity(text), undefined, text);
  }
  assert.throws(() => quantityOf("x"), /quantities must match/);
});

test("millicores and bytes round up", () => {
  assert.equal(cpuMillis("250m"), 250);
  assert.equal(cpuMillis("0.0001"), 1);
  assert.equal(cpuMillis("2"), 2000);
  assert.equal(cpuMillis(undefined), 0);
  assert.equal(bytes("1Gi"), 1_073_741_824);
  assert.equal(bytes("100m"), 1);
});

const quantity = fc
  .tuple(
    fc.integer({ min: -100_000, max: 100_000 }),
    fc.constantFrom("", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "e-3"),
  )
  .map(([amount, suffix]) => `${amount}${suffix}`);

test("formatting loses nothing and is a fixed point", () => {
  fc.assert(
    fc.property(quantity, (text) => {
      const parsed = quantityOf(text);
      const formatted = formatQuantity(parsed);
      assert.equal(quantityOf(formatted).nanos, parsed.nanos);
      assert.equal(canonicalQuantity(formatted), formatted);
    }),
    { numRuns: 300 },
  );
});

test("arithmetic is exact", () => {
  fc.assert(
    fc.property(quantity, quantity, (first, second) => {
      const [left, right] = [quantityOf(first), quantityOf(second)];
      const back = subtractQuantities(addQuantities(left, right), right);
      assert.equal(compareQuantities(back, left), 0);
      assert.equal(compareQuantities(left, right), -compareQuantities(right, left) + 0);
      assert.equal(scaleQuantity(left, 3).nanos, left.nanos * 3n);
    }),
    { numRuns: 300 },
  );
});

test("percentages", () => {
  assert.equal(percentOf("25%", 10, true), 3);
  assert.equal(percentOf("25%", 10, false), 2);
  assert.equal(percentOf(4, 10, false), 4);
  assert.equal(percentOf("x", 10, false), undefined);
  assert.equal(percentOf("10", 10, false), undefined);
});
