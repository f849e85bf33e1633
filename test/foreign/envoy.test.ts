/** `docker/envoy.yaml` is what Envoy would take, as far as Envoy's own protos tell. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { defaultBasePort, ports } from "../../services/cli/layout.ts";
import { needsBuilt } from "./needs.ts";

const file = join(dirname(dirname(import.meta.dirname)), "docker/envoy.yaml");
const text = readFileSync(file, "utf8");

describe("Envoy's configuration", needsBuilt("envoy-check", "test/foreign/envoy-check"), () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "trireme-envoy-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  test("is known in every field, and within Envoy's bounds", async () => {
    const { stdout } = await promisify(execFile)("envoy-check", [file]);
    assert.equal(stdout, "OK\n");
  });

  // A checker that cannot fail proves nothing.
  for (const [what, from, to, complaint] of [
    ["an unknown field", "num_retries:", "num_retry:", /unknown field "num_retry"/],
    ["an unknown type", "lua.v3.Lua", "lua.v3.Luna", /unable to resolve/],
    ["a value out of bounds", "connect_timeout: 1s", "connect_timeout: -1s", /ConnectTimeout/],
    ["one in what is packed", "stat_prefix: etcd", 'stat_prefix: ""', /StatPrefix/],
    ["a merge key", "type: STATIC", "<<: *limits", /merge key/],
  ] as const) {
    test(`${what} is refused`, async () => {
      const broken = join(folder, "envoy.yaml");
      writeFileSync(broken, text.replaceAll(from, to));
      await assert.rejects(promisify(execFile)("envoy-check", [broken]), complaint);
    });
  }

  test("has the addresses of `npm start`", () => {
    const at = ports({ dataDirectory: "", basePort: defaultBasePort, masters: 3, nodes: 0 });
    const faces = (face: "grpc" | "etcd") => [0, 1, 2].map((i) => at.master(i)[face]);
    const known = [
      at.balancer(0).grpc,
      at.balancer(0).grpc + 1,
      at.balancer(0).etcd,
      ...faces("grpc"),
      ...faces("etcd"),
    ];
    const found = [...text.matchAll(/port_value: (7\d{3})/g)].map(([, port]) => Number(port));
    assert.deepEqual([...new Set(found)].sort(), known.sort());
  });
});
