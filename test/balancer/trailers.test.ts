/** Trailers of a master that are too long for the client: the client still reads the status. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ReplyFields } from "../../ha/balancer/reply-fields.ts";
import { HpackDecoder } from "../../ha/http2/hpack-decoder.ts";
import { http2Limits } from "../../ha/http2/limits.ts";
import { call } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { eventually } from "../patience.ts";
import { useCluster } from "./fakes.ts";

const begin = useCluster();

test("a reply's trailers are shortened to what the client takes", () => {
  const fields = ["grpc-status", "3", "grpc-message", "bad name", "trireme-retry", "safe"];
  const long = new ReplyFields([...fields, "grpc-status-details-bin", "A".repeat(60_000)]);
  const read = (block: Uint8Array) => {
    const decoded = new HpackDecoder(http2Limits).decode(block as Buffer, 0, block.length);
    return [decoded.get("grpc-status"), decoded.get("grpc-message"), decoded.size <= 8_192];
  };
  const short = ["3", "bad name [details left out]", true];
  assert.deepEqual(read(long.trailers(Number.POSITIVE_INFINITY)), short);
  assert.deepEqual(read(long.only(16_384)), short);
  const whole = new ReplyFields([...fields, "grpc-status-details-bin", "A".repeat(600)]);
  assert.deepEqual(read(whole.trailers(16_384)), ["3", "bad name", true]);
  assert.deepEqual(read(whole.only(512)), short);
});

test("an error with a long name ends nobody else's stream", async () => {
  const { masters, client, balancer } = await begin();
  const name = "x".repeat(60_000);
  for (const master of masters) {
    master.handle = () => {
      const detail = { reason: "Invalid", kind: "leases", name };
      throw new StatusError(Code.invalidArgument, `"${name}" is invalid`, detail);
    };
    master.watch = async function* (context) {
      yield { type: "ADDED" };
      await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
    };
  }
  const leases = client(LeasesClient);
  const ended: unknown[] = [];
  const watches = masters.map(() => {
    const watch = leases.watch({});
    watch.on("data", () => {}).on("error", (error) => ended.push(error));
    return watch;
  });
  await eventually("they stand", () => balancer.status().active === watches.length);
  for (let n = 0; n < 5; n++) {
    await assert.rejects(call(leases, "get", {}), { code: Code.invalidArgument });
  }
  assert.equal(balancer.status().active, watches.length);
  assert.deepEqual(ended, []);
  for (const watch of watches) watch.cancel();
});
