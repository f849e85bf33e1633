/**
 * Three machines: network namespaces with private addresses. The first one runs a control plane,
 * started by hand; the others join it.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Node } from "../../proto/gen/core.ts";
import { ensureCredentials } from "../../services/cli/credentials.ts";
import { until } from "../e2e/cluster.ts";
import { TestPrograms } from "../programs.ts";
import { makeMachines, needsNamespaces, removeMachines, within } from "./namespaces.ts";

const main = join(dirname(dirname(import.meta.dirname)), "services/cli/main.ts");
const prefix = `tj${process.pid}`;
const machines = [0, 1, 2].map((i) => ({ name: `${prefix}m${i}`, address: `10.213.0.${i + 1}` }));
const [first, ...others] = machines;

const { skip } = needsNamespaces(prefix);

describe("machines that join", { concurrency: 1, skip }, () => {
  const directory = mkdtempSync(join(tmpdir(), "trireme-machines-"));
  const programs = new TestPrograms();
  const on = (machine: string, args: readonly string[]) =>
    within(machine, [process.execPath, main, ...args]);
  const start = (machine: string, args: readonly string[]) =>
    programs.start(args[0] ?? "", ["nsenter", ...on(machine, args)]);
  let api: string[] = [];
  /** A command on the first machine. */
  const run = (...args: string[]): string => {
    const all = on(first?.name ?? "", [...args, ...api]);
    const { status, stdout, stderr } = spawnSync("nsenter", all, { encoding: "utf8" });
    if (status !== 0) throw new Error(`${args.join(" ")}: ${stderr}${said()}`);
    return stdout;
  };
  const said = () => programs.said();

  before(async () => {
    assert.ok(first);
    makeMachines(first, others);
    const { name, address } = first;
    const pki = join(directory, "pki");
    const all = await ensureCredentials(pki, { masters: ["m"], nodes: [], hosts: [address] });
    const [master] = all.masters;
    assert.ok(master);
    const grpc = `${address}:7453`;
    const rest = `${address}:6443`;
    const peer = `${address}:7463`;
    const client = (pair: { readonly cert: string; readonly key: string }) => [
      ...["--server", grpc, "--certificate-authority", all.ca],
      ...["--client-certificate", pair.cert, "--client-key", pair.key],
    ];
    api = client(all.admin);
    start(name, [
      ...["apiserver", "--name", "m", "--data-dir", join(directory, "m")],
      ...["--bind-address", address, "--grpc-port", "7453", "--https-port", "6443"],
      ...["--listen-peer", peer, "--initial-cluster", `m=${peer}/${master.peerId}`],
      ...["--peer-key-file", master.peerKeyFile, "--client-ca-file", all.ca],
      ...["--tls-cert-file", master.server.cert, "--tls-private-key-file", master.server.key],
      ...["--kubelet-client-certificate", master.client.cert],
      ...["--kubelet-client-key", master.client.key],
      ...["--kubernetes-service-endpoints", rest, "--advertise-grpc-endpoints", grpc],
    ]);
    start(name, [
      ...["controller-manager", ...client(all.controllerManager)],
      ...["--cluster-signing-cert-file", all.ca, "--cluster-signing-key-file", all.caKey],
    ]);
    start(name, ["scheduler", ...client(all.scheduler)]);
  });
  after(async () => {
    await programs.stop();
    removeMachines(machines.map(({ name }) => name));
    rmSync(directory, { recursive: true, force: true });
  });

  test("two machines become nodes, known by their own addresses", async () => {
    const line = await until("a token", async () => run("token", "create", "--print-join-command"));
    const [, ...words] = line.trim().split(" ");
    assert.equal(words[1], `${first?.address}:6443`);
    const joining = others.map(({ name }, i) =>
      start(name, [
        ...words,
        ...["--node-name", `node-${i + 1}`, "--data-dir", join(directory, name)],
      ]),
    );
    await until("both to join", async () => {
      const ended = joining.find(({ child }) => child.exitCode !== null);
      if (ended !== undefined) throw new Error(ended.output);
      return joining.every(({ output }) => /has joined the cluster and is ready/.test(output));
    });
    const { items } = JSON.parse(run("get", "nodes", "-o", "json")) as { items: Node[] };
    const addresses = items.map(({ status }) => status?.addresses?.[0]?.address);
    assert.deepEqual(
      addresses.sort(),
      others.map(({ address }) => address),
    );
  });

  test("pods run there, and their logs are read from the first machine", async () => {
    for (const n of [1, 2]) {
      const pod = {
        ...{ apiVersion: "v1", kind: "Pod", metadata: { name: `p${n}` } },
        spec: {
          nodeSelector: { "kubernetes.io/hostname": `node-${n}` },
          terminationGracePeriodSeconds: 0,
          containers: [
            { name: "c", image: "sh", command: ["sh", "-c", "cat /proc/net/fib_trie; sleep 99"] },
          ],
        },
      };
      const all = on(first?.name ?? "", ["apply", "-f", "-", ...api]);
      const input = JSON.stringify(pod);
      const { status, stderr } = spawnSync("nsenter", all, { input, encoding: "utf8" });
      assert.equal(status, 0, stderr);
    }
    for (const [n, { address }] of others.entries()) {
      await until(`the addresses of machine ${n + 1}`, async () =>
        run("logs", `p${n + 1}`).includes(address),
      );
    }
  });
});
