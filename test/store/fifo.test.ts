import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Fifo } from "../../ha/store/fifo.ts";

/** So many are put in, or taken out when negative; far enough to cross chunks both ways. */
const steps = fc.array(fc.integer({ min: -1_500, max: 1_500 }), { maxLength: 12 });

test("a queue gives back what was put in, in order", () => {
  fc.assert(
    fc.property(steps, fc.boolean(), (counts, replacing) => {
      const fifo = new Fifo<number>();
      const model: number[] = [];
      let next = 0;
      for (const count of counts) {
        for (let n = 0; n < count; n++) {
          fifo.push(next);
          model.push(next++);
        }
        for (let n = 0; n > count; n--) assert.equal(fifo.shift(), model.shift());
        if (replacing && model.length > 0) {
          fifo.replaceLast(-1);
          model[model.length - 1] = -1;
        }
        assert.equal(fifo.length, model.length);
        assert.equal(fifo.first, model[0]);
        assert.equal(fifo.last, model.at(-1));
      }
      while (model.length > 0) assert.equal(fifo.shift(), model.shift());
      assert.equal(fifo.shift(), undefined);
      assert.equal(fifo.length, 0);
    }),
  );
});
