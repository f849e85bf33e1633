/** Which images go when the disk has filled up, and which stay. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { ImageGc, imageGcDefaults, imageGcOf } from "../../services/kubelet/images.ts";
import type { Image } from "../../services/kubelet/runtime/types.ts";
import { silent } from "./support.ts";

const image = (name: string, usedAt: number): Image => ({
  ...{ id: `id-${name}`, names: [name], sizeBytes: 10, usedAt },
});

/** A disk of 100 bytes, of which each image takes ten. */
function world(names: readonly string[], usedBytes: number, inUse: readonly string[] = []) {
  let images = names.map((name, at) => image(name, at));
  const told: string[] = [];
  const state = { now: 0, used: usedBytes };
  const gc = new ImageGc({
    settings: imageGcDefaults,
    images: {
      list: () => images,
      async remove(reference) {
        if (inUse.includes(reference)) throw new StatusError(Code.failedPrecondition, "in use");
        images = images.filter((one) => !one.names.includes(reference));
        state.used -= 10;
      },
    },
    room: async () => ({ free: 100 - state.used, total: 100 }),
    mounted: () => new Set(["mounted"]),
    now: () => state.now,
    tell: (reason, message) => told.push(`${reason}: ${message}`),
    log: silent,
  });
  return { gc, state, told, left: () => images.flatMap((one) => one.names) };
}

describe("image garbage collection", () => {
  test("removes the least recently used from the high threshold down to the low one", async () => {
    const { gc, state, left, told } = world(["a", "b", "c", "d"], 85);
    await gc.collect();
    assert.deepEqual(left(), ["a", "b", "c", "d"], "they have just been seen first");
    assert.deepEqual(told.splice(0), [
      "FreeDiskSpaceFailed: Failed to garbage collect required amount of images. Attempted to " +
        "free 5 bytes, but only found 0 bytes eligible to free.",
    ]);
    state.now = 120_000;
    await gc.collect();
    assert.deepEqual(left(), ["b", "c", "d"]);
    assert.deepEqual(told, []);
    await gc.collect();
    assert.deepEqual(left(), ["b", "c", "d"], "75 of 100 bytes are in use");
  });

  test("leaves what containers use and pods mount, and says when that is too much", async () => {
    const { gc, state, left, told } = world(["used", "mounted", "free"], 95, ["used"]);
    await gc.collect();
    told.splice(0);
    state.now = 120_000;
    await gc.collect();
    assert.deepEqual(left(), ["used", "mounted"]);
    assert.match(told.join(), /free 15 bytes, but only found 10 bytes/);
    await gc.removeAll();
    assert.deepEqual(left(), ["used", "mounted"]);
  });

  test("thresholds that make no sense are refused by their flags", () => {
    const of = (high: number, low: number) => () =>
      imageGcOf({ "image-gc-high-threshold": high, "image-gc-low-threshold": low }, 0);
    assert.throws(of(101, 80), /--image-gc-high-threshold: 101 is no whole number within 0\.\.100/);
    assert.throws(of(85, -1), /--image-gc-low-threshold: -1/);
    assert.throws(of(80, 80), /--image-gc-low-threshold: 80 must be less than --image-gc-high/);
    assert.deepEqual(of(100, 80)(), { highPercent: 100, lowPercent: 80, minimumAgeMillis: 0 });
  });
});
