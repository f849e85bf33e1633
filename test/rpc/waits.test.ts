/** A stream that lives long may wait for its caller any number of times. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Metadata, type ServerWritableStream } from "@grpc/grpc-js";
import { serverStream } from "../../ha/rpc/mod.ts";
import { deferred } from "./helpers.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const used = () => {
  collect();
  return process.memoryUsage().heapUsed;
};

/** A call whose caller takes every message, a moment later each time. */
class SlowCall extends EventEmitter {
  readonly request = 0;
  readonly metadata = new Metadata();
  readonly cancelled = false;
  readonly destroyed = false;
  readonly writableNeedDrain = true;
  readonly ended = deferred();

  write(): boolean {
    process.nextTick(() => this.emit("drain"));
    return false;
  }

  end(): void {
    this.ended.resolve();
  }
}

test("waiting for a slow caller leaves nothing behind", async () => {
  const waits = 200_000;
  let grown = Number.NaN;
  const handler = serverStream(async function* () {
    yield 0;
    const before = used();
    for (let n = 0; n < waits; n++) yield n;
    grown = used() - before;
  });
  const call = new SlowCall();
  handler(call as unknown as ServerWritableStream<number, number>);
  await call.ended.promise;
  // What compiling left on the heap counts along; one listener that stays takes some 300 bytes.
  assert.ok(grown / waits < 60, `${grown / waits} bytes are left of each wait`);
});
