import assert from "node:assert/strict";
import { test } from "node:test";
import { Stream } from "../../ha/http2/stream.ts";
import { RingTable } from "../../ha/runtime/ring-table.ts";
import { seeded } from "../http2/wire.ts";

test("finds what is open and nothing else, whatever lives long", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seeded(seed);
    const table = new RingTable<Stream>(1);
    const model = new Map<number, Stream>();
    const most = 1 + Math.floor(random() * 400);
    for (let id = 1; id < 8_000; id += 2) {
      const stream = new Stream(id, 0, 0, undefined);
      table.add(stream);
      model.set(id, stream);
      while (model.size > most) {
        // Now and then the oldest, mostly the youngest: some streams become very old.
        const ids = [...model.keys()];
        const gone = (random() < 0.1 ? ids[0] : ids.at(-1 - Math.floor(random() * 3))) ?? ids[0]!;
        table.delete(model.get(gone)!);
        model.delete(gone);
        assert.equal(table.get(gone), undefined);
      }
      const any = 1 + 2 * Math.floor(random() * (id / 2));
      assert.equal(table.get(any), model.get(any), `seed ${seed}, stream ${any}`);
      assert.equal(table.size, model.size);
    }
    table.delete(new Stream(9_999, 0, 0, undefined));
    assert.deepEqual(table.values(), [...model.values()], `seed ${seed}`);
  }
});
