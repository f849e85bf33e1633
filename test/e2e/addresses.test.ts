/** Masters started by hand, each on an address of its own: how several machines are used. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createLog } from "../../ha/runtime/production/log.ts";
import { connectClient, type TriremeClient } from "../../services/client/mod.ts";
import { trireme, until } from "./cluster.ts";

const program = join(dirname(dirname(import.meta.dirname)), "services/cli/main.ts");
const hosts = ["127.0.1.1", "127.0.1.2", "127.0.1.3"];
const balancerHost = "127.0.1.4";

describe("three masters on three addresses", { concurrency: 1 }, () => {
  const directory = mkdtempSync(join(tmpdir(), "trireme-hosts-"));
  const pki = join(directory, "pki");
  const children = new Map<string, ChildProcess>();
  let cluster = "";
  let client: TriremeClient;

  const pem = (name: string) => readFileSync(join(pki, name), "utf8");
  const clientOf = (servers: string[], user = "admin") =>
    connectClient({
      servers,
      tls: { ca: pem("ca.crt"), cert: pem(`${user}.crt`), key: pem(`${user}.key`) },
      log: createLog({}, { level: "silent" }),
      identity: "test",
    });

  function start(name: string, args: readonly string[]): ChildProcess {
    const child = spawn(process.execPath, [program, ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    child.stderr?.setEncoding("utf8");
    children.set(name, child);
    return child;
  }

  function masterArgs(i: number): string[] {
    const name = `master-${i}`;
    return [
      ...["apiserver", "--name", name, "--data-dir", join(directory, name)],
      ...["--bind-address", hosts[i] ?? "", "--grpc-port", "21453"],
      ...["--listen-peer", `${hosts[i]}:21463`, "--initial-cluster", cluster],
      ...[
        "--peer-key-file",
        join(pki, `peer-${name}.key`),
        "--client-ca-file",
        join(pki, "ca.crt"),
      ],
      ...["--tls-cert-file", join(pki, `apiserver-${name}.crt`)],
      ...["--tls-private-key-file", join(pki, `apiserver-${name}.key`)],
    ];
  }

  /** Runs a program that must fail at its start; answers what it said. */
  async function refused(args: readonly string[]): Promise<string> {
    const child = start("refused", args);
    let said = "";
    child.stderr?.on("data", (text: string) => {
      said += text;
    });
    const code = await new Promise((resolve) => child.once("exit", resolve));
    children.delete("refused");
    assert.notEqual(code, 0, said);
    return said;
  }

  before(async () => {
    const peers = hosts.map((host) => `${host}:21463`).join(",");
    const all = [...hosts, balancerHost].join(",");
    const certs = await trireme(["certs", "--dir", pki, "--hosts", all, "--peers", peers]);
    assert.equal(certs.code, 0, certs.stderr);
    cluster = /--initial-cluster (\S+)/.exec(certs.stdout)?.[1] ?? "";
    hosts.forEach((_, i) => void start(`master-${i}`, masterArgs(i)));
    start("balancer", [
      ...["balancer", "--bind-address", balancerHost, "--grpc-port", "21443"],
      ...["--masters", hosts.map((host, i) => `master-${i}=${host}:21453`).join(",")],
      ...["--client-ca-file", join(pki, "ca.crt"), "--tls-cert-file", join(pki, "balancer.crt")],
      ...["--tls-private-key-file", join(pki, "balancer.key")],
      ...["--proxy-client-cert-file", join(pki, "front-proxy-client.crt")],
      ...["--proxy-client-key-file", join(pki, "front-proxy-client.key")],
    ]);
    client = clientOf([`${balancerHost}:21443`]);
    await until(
      "the cluster to answer",
      async () => (await client.namespaces.list()).items.length >= 4,
    );
  });

  after(async () => {
    client?.close();
    for (const child of children.values()) {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGKILL");
        await gone;
      }
    }
    rmSync(directory, { recursive: true, force: true });
  });

  test("what is written through the balancer is read from every master", async () => {
    const metadata = { name: "hello", namespace: "default" };
    await client.configMaps.create({ metadata, data: { from: "balancer" } });
    for (const host of hosts) {
      const direct = clientOf([`${host}:21453`]);
      const read = await direct.configMaps.get("hello", "default");
      assert.deepEqual(read.data, { from: "balancer" });
      direct.close();
    }
  });

  test("one of three is killed: a client that is given all masters goes on", async () => {
    const direct = clientOf(hosts.map((host) => `${host}:21453`));
    const leader = (await direct.cluster.status()).leaderName ?? "";
    children.get(leader)?.kill("SIGKILL");
    for (let i = 0; i < 20; i++) {
      const metadata = { name: `after-${i}`, namespace: "default" };
      await client.configMaps.create({ metadata });
      await direct.configMaps.get(`after-${i}`, "default");
    }
    start(leader, masterArgs(Number(leader.slice(-1))));
    const host = hosts[Number(leader.slice(-1))];
    const returned = clientOf([`${host}:21453`]);
    await until("the killed master to serve what it missed", async () => {
      return (await returned.configMaps.get("after-19", "default")).metadata?.name === "after-19";
    });
    returned.close();
    direct.close();
  });

  test("a component's rights are its own", async () => {
    const proxy = clientOf([`${balancerHost}:21443`], "kube-proxy");
    await assert.rejects(
      proxy.configMaps.create({ metadata: { name: "no", namespace: "default" } }),
      /configmaps is forbidden: User "system:kube-proxy" cannot create resource "configmaps"/,
    );
    proxy.close();
  });

  test("what a master cannot start with is named", async () => {
    const args = masterArgs(0);
    const replace = (flag: string, value: string) => {
      const changed = [...args];
      changed[changed.indexOf(flag) + 1] = value;
      return changed;
    };
    const inUse = replace("--data-dir", join(directory, "fresh"));
    assert.match(await refused(inUse), /127\.0\.1\.1:21463|in use/);
    assert.match(await refused(args), /data directory .*master-0 is locked/);
    const corrupt = join(directory, "corrupt");
    mkdirSync(corrupt);
    writeFileSync(join(corrupt, "CURRENT"), "no manifest\n");
    assert.match(await refused(replace("--data-dir", corrupt)), /corrupt/);
    const missing = replace("--tls-cert-file", join(pki, "nothing.crt"));
    assert.match(await refused(missing), /nothing\.crt cannot be read/);
    assert.match(await refused(["apiserver"]), /flag --name is required/);
    assert.match(await refused(["apiserver", "--nonsense"]), /nonsense/);
  });
});
