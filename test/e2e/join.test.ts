/** A machine joins a running cluster by the line that `trireme token create` prints. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { call, connect } from "../../ha/rpc/mod.ts";
import { ClusterClient } from "../../proto/gen/etcd.ts";
import { ports } from "../../services/cli/layout.ts";
import { answersHere } from "../../services/kubelet/node/pod-ranges.ts";
import { hasEnded, type TestProgram, TestPrograms } from "../programs.ts";
import { trireme as run, TestCluster, until } from "./cluster.ts";

const shape = { masters: 1, nodes: 1 };
const main = join(dirname(dirname(import.meta.dirname)), "services/cli/main.ts");

describe("trireme join", { concurrency: 1 }, () => {
  const cluster = new TestCluster();
  const directory = mkdtempSync(join(tmpdir(), "trireme-join-"));
  const machine = ["--data-dir", directory, "--node-name", "far"];
  const nodeIPs = ["127.0.0.1", "::1"];
  const programs = new TestPrograms();
  let line: string[] = [];

  const start = (args: readonly string[]) =>
    programs.start(args[0] ?? "", [process.execPath, main, ...args], { detached: true });
  const joined = (one: TestProgram) =>
    until("the node to join", async () => {
      if (hasEnded(one)) throw new Error(one.output);
      return one.output.includes('node "far" has joined');
    });

  before(async () => {
    // Of both families, if this machine has them.
    if (await answersHere("::1")) machine.push("--node-ip", nodeIPs.join(","));
    else nodeIPs.splice(1);
    await cluster.up(["--masters", String(shape.masters), "--nodes", String(shape.nodes)]);
    const { basePort } = cluster;
    machine.push("--kubelet-port", String(basePort + 90), "--proxy-peer-port", String(basePort));
  });
  after(async () => {
    await programs.stop();
    await cluster.close();
    rmSync(directory, { recursive: true, force: true });
  });

  test("a line is printed that a machine joins with", async () => {
    const made = await cluster.run(["token", "create", "--print-join-command"]);
    assert.equal(made.code, 0, made.stderr);
    const [program, ...words] = made.stdout.trim().split(" ");
    assert.equal(program, "trireme");
    line = words;
    assert.equal(line[1], new URL(`https://${cluster.endpoints.https}`).host);
  });

  test("addresses that no node, or no master, can have are refused", async () => {
    const place = join(directory, "refused");
    const refused = async (...flags: string[]) => {
      const { code, stderr } = await run([...line, "--data-dir", place, ...flags]);
      assert.notEqual(code, 0);
      return stderr;
    };
    const pair = "must contain either a single IP or a dual-stack pair of IPs";
    const two = "127.0.0.1,127.0.0.2";
    assert.ok((await refused("--node-ip", two)).includes(`bad --node-ip "${two}": ${pair}`));
    const master = ["--control-plane", "--certificate-key", "0".repeat(64)];
    const said = await refused(...master, "--node-ip", "127.0.0.1,::1");
    assert.match(said, /--node-ip 127\.0\.0\.1,::1: a master has one address/);
  });

  test("the machine becomes a node that runs pods", async () => {
    await joined(start([...line, ...machine]));
    const client = cluster.client();
    const { status } = await client.nodes.get("far");
    const own = status?.addresses?.filter(({ type }) => type === "InternalIP");
    assert.deepEqual(
      own?.map(({ address }) => address),
      nodeIPs,
    );
    const serving = join(directory, "pki/kubelet-server-current.pem");
    await until("a certificate for the addresses", async () => {
      const certificate = new X509Certificate(readFileSync(serving));
      return nodeIPs.every((address) => certificate.checkIP(address) !== undefined);
    });
    const pair = join(directory, "pki/kubelet-client-current.pem");
    assert.equal(statSync(pair).mode & 0o777, 0o600);
    const requests = (await client.certificateSigningRequests.list()).items;
    const signer = (name: string) => requests.filter(({ spec }) => spec?.signerName === name);
    const [first] = signer("kubernetes.io/kube-apiserver-client-kubelet");
    assert.match(first?.spec?.username ?? "", /^system:bootstrap:/);
    assert.equal(first?.status?.conditions?.[0]?.reason, "AutoApproved");
    const containers = [{ name: "c", image: "sh", command: ["sh", "-c", "echo here; sleep 60"] }];
    await client.pods.create({
      metadata: { name: "visitor", namespace: "default" },
      spec: { nodeName: "far", containers, terminationGracePeriodSeconds: 0 },
    });
    await until("the pod to run", async () => {
      return (await client.pods.get("visitor", "default")).status?.phase === "Running";
    });
    // Its log comes over the certificate that the kubelet serves with.
    await until("the pod's log", async () => {
      const { stdout, stderr } = await cluster.run(["logs", "visitor"]);
      if (stdout !== "here\n") throw new Error(stderr);
      return true;
    });
    client.close();
  });

  test("it starts again without a token, and joins no second time", async () => {
    const again = await run([...line, ...machine]);
    assert.match(again.stderr, /a machine runs in .* already/);
    await programs.stop();
    const second = await run([...line, ...machine]);
    assert.match(second.stderr, /node "far" of .* has joined already/);
    const job = start(["join", "--data-dir", directory]);
    await joined(job);
    // Ctrl-C in a terminal reaches every process of the job at once.
    const gone = new Promise((resolve) => job.child.once("exit", resolve));
    process.kill(-(job.child.pid ?? assert.fail("no pid")), "SIGINT");
    assert.equal(await gone, 0);
    assert.match(job.output, /stopping…\nstopped/);
    assert.doesNotMatch(job.output, /a process ended/);
  });

  test("another machine becomes a master, with a vote and the whole API", async () => {
    const made = await cluster.run(["token", "create", "--print-join-command", "--control-plane"]);
    assert.equal(made.code, 0, made.stderr);
    const [, ...words] = made.stdout.trim().split(" ");
    assert.match(words.join(" "), / --control-plane --certificate-key [0-9a-f]{64}$/);
    const ports = ["grpc", "https", "etcd", "store"].flatMap((face, i) => [
      `--${face}-port`,
      String(cluster.basePort + 91 + i),
    ]);
    const place = join(directory, "master");
    const master = start([...words, "--data-dir", place, "--node-name", "master-far", ...ports]);
    await until("the master to join", async () => {
      if (master.child.exitCode !== null) throw new Error(master.output);
      return master.output.includes('master "master-far" has joined');
    });
    const client = cluster.client();
    await until("the others to know of its vote", async () => {
      const { peers = [] } = await client.cluster.status();
      return peers.some(({ name, learner }) => name === "master-far" && learner !== true);
    });
    const own = cluster.client([`127.0.0.1:${cluster.basePort + 91}`]);
    await own.configMaps.create({ metadata: { name: "made-far", namespace: "default" } });
    const found = await client.configMaps.get("made-far", "default");
    assert.equal(found.metadata?.name, "made-far");
    own.close();
    client.close();
    const log = (name: string) =>
      readFileSync(join(place, "log", `${name}-master-far.log`), "utf8");
    for (const program of ["scheduler", "controller-manager"]) {
      await until(`the ${program} beside it`, async () => log(program).includes("stands by"));
    }
  });

  test("the balancers send calls to the new master, and none once it is removed", async () => {
    const client = cluster.client();
    const { metrics } = ports({ ...shape, dataDirectory: "", basePort: cluster.basePort });
    const balancers = [0, 1].map((i) => `http://127.0.0.1:${metrics.balancer(i)}/metrics`);
    /** Calls to the master so far, by each balancer and face; undefined: it is no master. */
    const calls = async () => {
      const pages = await Promise.all(balancers.map(async (url) => (await fetch(url)).text()));
      return pages.flatMap((page) =>
        ["api", "etcd"].map((face) => {
          const line = `trireme_balancer_master_attempts_total{face="${face}",master="master-far"}`;
          const value = page.split("\n").find((each) => each.startsWith(line));
          return value === undefined ? undefined : Number(value.slice(line.length));
        }),
      );
    };
    await until("both balancers to know it", async () => {
      return (await calls()).every((count) => count !== undefined);
    });
    await until("calls to reach it", async () => {
      await client.configMaps.get("made-far", "default");
      return (await calls()).some((count) => (count ?? 0) > 0);
    });
    const { ca, clientCert, clientKey, etcdEndpoints } = cluster.endpoints;
    const pem = (file: string) => readFileSync(file, "utf8");
    const etcd = connect(ClusterClient, {
      addresses: etcdEndpoints,
      tls: { ca: pem(ca), cert: pem(clientCert), key: pem(clientKey) },
    });
    const { members = [] } = await call(etcd, "memberList", { linearizable: true });
    const far = members.find(({ name }) => name === "master-far");
    await call(etcd, "memberRemove", { ID: far?.ID ?? 0n });
    etcd.close();
    await until("no balancer to know it", async () => {
      return (await calls()).every((count) => count === undefined);
    });
    await client.configMaps.get("made-far", "default");
    client.close();
  });
});
