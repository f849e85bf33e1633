/** `npm run load` on an apiserver of this process: profiles, targets side by side, bad usage. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type CallError, LoadClient } from "../../services/load/client/mod.ts";
import { filledName } from "../../services/load/engine/names.ts";
import { profiles } from "../../services/load/profiles.ts";
import { type ReportData, readReportData } from "../../services/load/report/report-data.ts";
import { protocols } from "../../services/load/targets/mod.ts";
import { resolveTarget } from "../../services/load/targets/resolve.ts";
import { runProgram } from "../cli/run-program.ts";
import { type LoadWorld, loadWorld } from "./world.ts";

let world: LoadWorld;
before(async () => {
  world = await loadWorld();
});
after(() => world[Symbol.asyncDispose]());

const load = (...args: readonly string[]) =>
  runProgram("services/load/main.ts", ...args, "--data-dir", world.directory);
const short = ["--duration", "300ms", "--warmup", "0"];
const file = (name: string) => join(world.directory, name);

function report(name: string): ReportData {
  return readReportData(JSON.parse(readFileSync(file(name), "utf8")));
}

async function namespaces(): Promise<string[]> {
  const { json } = await world.rest.ask("/api/v1/namespaces");
  const items = json.items as { metadata: { name: string; deletionTimestamp?: string } }[];
  return items
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ metadata }) => metadata.name);
}

for (const name of ["grpc", "rest"]) {
  test(`every profile's operations are what ${name} takes`, async () => {
    const to = resolveTarget(name, { dataDirectory: world.directory });
    const protocol = protocols[to.protocol];
    const { addresses, tls } = to;
    const client = new LoadClient({ addresses, tls, protocol: protocol.wire });
    try {
      for (const [profileName, { mix, fill }] of Object.entries(profiles)) {
        const place = { namespace: `try-${name}-${profileName}`, prefix: `try-${profileName}-` };
        for (const template of protocol.before(to, place)) await client.ask(template);
        if (fill !== undefined) {
          const create = { verb: "create", kind: fill.kind, naming: "new" } as const;
          await client.ask(protocol.template(to, place, create), filledName(0));
        }
        for (const { operation } of mix) {
          const number = operation.naming === "filled" ? filledName(0) : 5;
          await client.ask(protocol.template(to, place, operation), number, 12).catch((error) => {
            assert.fail(`${profileName} ${operation.verb}: ${(error as CallError).message}`);
          });
        }
        for (const template of protocol.after(to, place)) await client.ask(template);
      }
    } finally {
      client.close();
    }
  });
}

test("two targets: one table, one report, and nothing is left behind", async () => {
  const before = await namespaces();
  const args = ["pods-create", "--target", "grpc", "--target", "rest", "--rounds", "2"];
  const files = ["--json", file("two.json"), "--html", file("two.html")];
  const { code, stdout, stderr } = await load(...args, ...short, ...files);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  assert.match(
    stdout,
    /^TARGET +CALLS\/S +P50[^\n]*CLIENT CPU\ngrpc:\/\/[^\n]*\nhttps:\/\/[^\n]*\n/,
  );
  assert.match(stdout, /Kubernetes' objective for mutating calls: p99 ≤ 1,000 ms/);
  const { kind, verdict, targets, timeline, command } = report("two.json");
  assert.deepEqual({ kind, result: verdict.result }, { kind: "load", result: "measured" });
  assert.equal(targets.length, 2);
  for (const { calls, failed, percentiles, clientCpuShare = -1 } of targets) {
    assert.ok(calls > 0 && failed === 0);
    assert.ok(percentiles.p50 > 0 && percentiles.p50 <= percentiles.max);
    assert.ok(clientCpuShare > 0);
  }
  const counted = (timeline.buckets ?? []).reduce((sum, { ok, slow }) => sum + ok + slow, 0);
  assert.equal(
    counted,
    targets.reduce((sum, { calls }) => sum + calls, 0),
  );
  assert.match(command, /^npm run load -- pods-create --target grpc --target rest --rounds 2 /);
  assert.match(readFileSync(file("two.html"), "utf8"), /Side by side/);
  assert.deepEqual(await namespaces(), before);
});

test("watchers see every object, and it is told how long that took", async () => {
  const { code, stdout } = await load(
    "watch-fanout",
    "--watchers",
    "7",
    "--target",
    "rest",
    ...short,
  );
  assert.equal(code, 0);
  const calls = Number(
    /^https\S+ +(?<rate>[\d,]+)/m.exec(stdout)?.groups?.["rate"]?.replace(",", ""),
  );
  const events = Number(/^watch events: (\d+)$/m.exec(stdout)?.[1]);
  assert.ok(calls > 0 && events > 0 && events % 7 === 0, `${events} events`);
  assert.match(stdout, /^from write to watch event: p50 [\d.]+ ms, p99 [\d.]+ ms$/m);
});

test("a rate, an objective that is missed, and the gate", async () => {
  const rate = ["get", "--rate", "200", "--objects", "5", ...short];
  const first = await load(...rate, "--json", file("rate.json"));
  assert.equal(first.code, 0, first.stderr);
  const [target] = report("rate.json").targets;
  assert.ok((target?.calls ?? 0) <= 61, "no more calls than were due");
  const missed = await load(
    ...rate,
    "--slo",
    "1",
    "--gate",
    file("rate.json"),
    "--gate-percent",
    "99",
  );
  const p99 = Number(/p99 of (\d[\d.]*) ms/.exec(missed.stdout)?.[1]);
  assert.equal(missed.code, p99 > 1 ? 1 : 0);
  assert.match(missed.stdout, /: rate against the saved run: [\d.]+ × \(≥ 0\.01 ×\)/);
});

test("a ramp finds the highest rate within the objective", async () => {
  const args = ["put", "--ramp", "--duration", "3s", "--warmup", "0", "--json", file("ramp.json")];
  const { code, stdout } = await load(...args);
  const [target] = report("ramp.json").targets;
  const within = target?.ramp?.filter((step) => step.within) ?? [];
  const highest = Math.max(0, ...within.map(({ offeredPerSecond }) => offeredPerSecond));
  assert.equal(target?.kneePerSecond, highest);
  assert.equal(code, (target?.failed ?? 0) > 0 ? 1 : 0);
  assert.match(stdout, /^TARGET +KNEE\/S/);
});

test("bad usage says what is wrong, and exits with 2 before anything is done", async () => {
  const refused = async (expected: RegExp, ...args: readonly string[]) => {
    const { code, stdout, stderr } = await load(...args);
    assert.match(stderr, expected);
    const lines = stderr.split("\n").length;
    assert.deepEqual({ code, stdout, lines }, { code: 2, stdout: "", lines: 2 });
  };
  writeFileSync(file("other.json"), "{}");
  const silent = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.end();
  }).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as { port: number };
  try {
    await refused(/"pods-creat" is none of .*did you mean "pods-create"\?/, "pods-creat");
    await refused(/9000000 is not a whole number in 1\.\.1000000/, "put", "--rate", "9000000");
    await refused(/--rate and --ramp do not go together/, "put", "--rate", "5", "--ramp");
    await refused(/--objects: the profile put makes none/, "put", "--objects", "5");
    await refused(/cannot write .*no such file/, "put", "--html", file("none/report.html"));
    await refused(/other\.json is no saved report: version/, "put", "--gate", file("other.json"));
    await refused(/grpc:.*: it closes the conn/, "put", "--target", `grpc://127.0.0.1:${port}`);
    await refused(/it has no pods/, "pods-create", "--target", "etcd://127.0.0.1:1");
  } finally {
    silent.close();
  }
});

test("a target that cannot be meant is refused with its name", () => {
  const refused = (text: string, expected: RegExp, more: object = {}) => {
    const flags = { dataDirectory: world.directory, ...more };
    assert.throws(() => resolveTarget(text, flags), expected);
  };
  const kubeconfig = file("kubeconfig");
  const far = "https://127.0.0.1:1";
  refused("ftp://x", /target "ftp:\/\/x" is none of grpc:/);
  refused("http://127.0.0.1:80", /plain HTTP has no HTTP\/2/);
  refused("grpc://a b:1", /"a b:1" is no HOST:PORT/);
  refused("grpc://a:1/path", /a path has a meaning for https alone/);
  refused(far, /cannot read the kubeconfig/, { kubeconfig: file("none") });
  refused(far, /no context for https:\/\/127\.0\.0\.1:1; it knows https/, { kubeconfig });
  refused("grpc://a:1", /--cert and --key go together/, { cert: kubeconfig });
  refused("grpc", /no running cluster: .*run npm start/, { dataDirectory: file("none") });
});

test("where a target's certificates and tokens come from", () => {
  const flags = { dataDirectory: world.directory };
  const url = `https://127.0.0.1:${world.rest.port}`;
  const { ca, admin } = world.rest;
  assert.deepEqual(resolveTarget(url, flags).tls, { ca, cert: admin.cert, key: admin.key });
  const elsewhere = { dataDirectory: file("none"), kubeconfig: file("kubeconfig") };
  assert.equal(resolveTarget(url, elsewhere).tls?.cert, admin.cert);
  assert.equal(resolveTarget("etcd://127.0.0.1", flags).tls, undefined);
  assert.deepEqual(resolveTarget("etcd://a,b:5", flags).addresses, ["a:2379", "b:5"]);
  const token = file("token-config");
  writeFileSync(
    token,
    JSON.stringify({
      clusters: [
        { name: "c", cluster: { server: "https://k:6443/k8s", "tls-server-name": "kube" } },
      ],
      users: [{ name: "u", user: { token: "secret" } }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    }),
  );
  const far = resolveTarget("https://k:6443/k8s/", { ...flags, kubeconfig: token });
  const { token: bearer, pathPrefix, tls } = far;
  assert.deepEqual(
    { bearer, pathPrefix, name: tls?.serverName },
    { bearer: "secret", pathPrefix: "/k8s", name: "kube" },
  );
});
