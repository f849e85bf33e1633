/** All trailers of a call fit into what its caller reads, whatever the size of the error. */
import assert from "node:assert/strict";
import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { describe, test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import fc from "fast-check";
import { call, rpcLimits } from "../../ha/rpc/mod.ts";
import { percentEncode } from "../../ha/rpc/percent-encoding.ts";
import {
  cutEncoded,
  fitTrailers,
  headerListBytes,
  omittedTrailersKey,
} from "../../ha/rpc/trailers.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { dial, hello, start, useEngine } from "./harness.ts";

const sayPath = "/test.Echo/Say";

function get(fields: readonly string[], name: string): string | undefined {
  const at = fields.findIndex((field, index) => index % 2 === 0 && field === name);
  return at < 0 ? undefined : fields[at + 1];
}

test("fields within the budget are the very same", () => {
  const fields = ["grpc-status", "3", "grpc-message", "no"];
  assert.equal(fitTrailers(fields, headerListBytes(fields)), fields);
});

test("fitted trailers keep to the budget and to the status", () => {
  const text = fc.string({ maxLength: 3_000 });
  fc.assert(
    fc.property(text, fc.nat(20_000), fc.array(fc.nat(4_000)), fc.nat(10_000), (...given) => {
      const [message, details, others, budget] = given;
      const fields = [":status", "200", "content-type", "application/grpc", "grpc-status", "3"];
      fields.push("grpc-message", percentEncode(message.toWellFormed()));
      fields.push("grpc-status-details-bin", "A".repeat(details));
      for (const [n, length] of others.entries()) fields.push(`x-${n}`, "v".repeat(length));
      const fitted = fitTrailers(fields, budget);
      const least = headerListBytes(fields.slice(0, 6));
      assert.ok(headerListBytes(fitted) <= Math.max(budget, least));
      assert.equal(get(fitted, "grpc-status"), "3");
      decodeURIComponent(get(fitted, "grpc-message") ?? "");
    }),
  );
});

test("what is left out is said", () => {
  const fields = ["grpc-status", "3", "grpc-message", "no such pod"];
  const big = [...fields, "trireme-retry", "safe", "warning", "w".repeat(9_000)];
  big.push("grpc-status-details-bin", "A".repeat(9_000));
  const fitted = fitTrailers(big, 8_192);
  assert.equal(get(fitted, "grpc-message"), "no such pod [details left out]");
  assert.equal(get(fitted, "trireme-retry"), "safe");
  assert.equal(get(fitted, omittedTrailersKey), "warning");
  const long = ["grpc-status", "3", "grpc-message", "x".repeat(9_000)];
  assert.match(
    get(fitTrailers(long, 8_192), "grpc-message") ?? "",
    /^x{7000,}\.\.\. \[shortened\]$/,
  );
});

test("a character of several bytes is kept whole or goes", () => {
  const encoded = percentEncode("aé日😀".repeat(50));
  for (let bytes = 20; bytes < encoded.length; bytes++) {
    const cut = decodeURIComponent(cutEncoded(encoded, bytes));
    assert.ok(cut.endsWith("... [shortened]"));
    assert.ok("aé日😀".repeat(50).startsWith(cut.slice(0, -"... [shortened]".length)));
  }
});

for (const engine of ["trireme", "grpc-js"] as const) {
  describe(`errors of any size, ${engine}`, () => {
    const name = "n".repeat(60_000);
    const errors: Record<string, () => StatusError> = {
      "a long name": () =>
        new StatusError(Code.invalidArgument, `"${name}" is not a name`, {
          reason: "Invalid",
          kind: "configmaps",
          name,
          causes: [{ reason: "FieldValueInvalid", message: name, field: name }],
        }),
      "a thousand causes in Greek": () =>
        new StatusError(Code.invalidArgument, "λάθος ".repeat(10_000), {
          reason: "Invalid",
          causes: Array.from({ length: 1_000 }, (_, n) => ({
            reason: "FieldValueInvalid",
            message: "δεν είναι όνομα",
            field: `spec.containers[0].env[${n}].name`,
          })),
        }),
    };
    for (const [what, make] of Object.entries(errors)) {
      test(`${what}: code, reason and a readable message within 8 KiB`, async () => {
        useEngine(engine);
        const { address } = await start({
          say: async (_, context) => {
            context.setTrailer("warning", "w".repeat(1_000));
            throw make();
          },
        });
        await assert.rejects(call(dial(address), "say", hello), (thrown: StatusError) => {
          assert.equal(thrown.code, Code.invalidArgument);
          assert.equal(thrown.detail?.reason, "Invalid");
          assert.match(thrown.message, /shortened\]$/);
          return true;
        });
        const fields = await rawTrailers(address, {});
        assert.ok(headerListBytes(fields) <= rpcLimits.trailerBytes, `${headerListBytes(fields)}`);
        assert.equal(get(fields, "grpc-status"), "3");
        assert.equal(get(fields, "warning")?.length, 1_000);
      });
    }

    test("a handler's own error and trailers", async () => {
      useEngine(engine);
      const metadata = new Metadata();
      for (let n = 0; n < 20; n++) metadata.set(`x-${n}`, "v".repeat(1_000));
      const details = "m".repeat(50_000);
      const raw = Object.assign(new Error(details), { code: Code.aborted, details, metadata });
      const { address } = await start({ say: () => Promise.reject(raw) });
      const fields = await rawTrailers(address, {});
      assert.ok(headerListBytes(fields) <= rpcLimits.trailerBytes);
      assert.equal(get(fields, "grpc-status"), "10");
    });
  });
}

test("a caller that takes less gets less", async () => {
  useEngine("trireme");
  const { address } = await start({
    say: async () => {
      throw new StatusError(Code.notFound, "x".repeat(3_000), { reason: "NotFound" });
    },
  });
  for (const maxHeaderListSize of [400, 1_000, 4_000]) {
    const fields = await rawTrailers(address, { maxHeaderListSize });
    assert.ok(headerListBytes(fields) <= maxHeaderListSize);
    assert.equal(get(fields, "grpc-status"), "5");
  }
});

/** The only header block of an answer that is trailers alone. */
function rawTrailers(address: string, settings: object): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://${address}`, { settings });
    session.on("error", reject);
    session.once("remoteSettings", () => {
      const request = session.request({
        ":method": "POST",
        ":path": sayPath,
        "content-type": "application/grpc",
        te: "trailers",
      });
      request.on("error", reject);
      request.on("response", (headers: IncomingHttpHeaders) => {
        const fields: string[] = [];
        for (const [name, value] of Object.entries(headers)) {
          if (name !== "date") fields.push(name, String(value));
        }
        session.close();
        resolve(fields);
      });
      request.end(Buffer.from([0, 0, 0, 0, 0]));
    });
  });
}
