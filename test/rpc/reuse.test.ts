/** What a connection has sent, it holds no longer: its memory serves the next answers. */
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { call } from "../../ha/rpc/mod.ts";
import { createCa } from "./certs.ts";
import { dial, hello, start } from "./harness.ts";

const slabBytes = 64 * 1024;

test("over TLS, hundreds of answers are written into a few slabs", async () => {
  const ca = await createCa();
  const answer = Buffer.alloc(8 * 1024, 1);
  const tls = { ...(await ca.server()), clientCa: ca.ca };
  const { address } = await start({ say: async () => answer }, { tls });
  const client = dial(address, { ca: ca.ca });
  const allocated = mock.method(Buffer, "allocUnsafeSlow");
  const calls = 400;
  for (let made = 0; made < calls; made++) await call(client, "say", hello);
  const slabs = allocated.mock.calls.filter((each) => each.arguments[0] === slabBytes).length;
  allocated.mock.restore();
  const wasted = (calls * answer.length) / slabBytes;
  assert.ok(slabs <= 8, `${slabs} slabs for what fills ${wasted}`);
});
