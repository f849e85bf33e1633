/** A cluster of one master and one node that have addresses of both families, IPv6 first. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { createLog } from "../../ha/runtime/production/log.ts";
import { type Credentials, ensureCredentials } from "../../services/cli/credentials.ts";
import { connectClient, type TriremeClient } from "../../services/client/mod.ts";
import { freePorts } from "../ports.ts";
import { TestPrograms } from "../programs.ts";
import { until } from "./cluster.ts";

const main = join(dirname(dirname(import.meta.dirname)), "services/cli/main.ts");

export interface FamilyClusterOptions {
  /** Where the programs run; absent: here. */
  readonly enter?: (command: readonly string[]) => readonly string[];
  /** `--service-cluster-ip-range` */
  readonly services: string;
  /** `--cluster-cidr` */
  readonly pods: string;
  /** Address of the cluster's DNS; absent: the program `dns` serves it at the port `dns`. */
  readonly clusterDns?: string;
  readonly proxyArgs?: readonly string[];
}

export class FamilyCluster implements AsyncDisposable {
  readonly directory = mkdtempSync("/tmp/trireme-families-");
  readonly #options: FamilyClusterOptions;
  readonly #programs = new TestPrograms();
  #credentials: Credentials | undefined;
  #grpc = 0;
  /** Of the program `dns`. */
  dnsPort = 0;

  constructor(options: FamilyClusterOptions) {
    this.#options = options;
  }

  /** Resolves when the node is ready. */
  async start(): Promise<void> {
    const [grpc = 0, https = 0, peer = 0, kubelet = 0, proxies = 0, dns = 0] = await freePorts(6);
    this.#grpc = grpc;
    this.dnsPort = dns;
    const layout = { masters: ["m"], nodes: ["n1"], hosts: ["::1", "127.0.0.1"] };
    const { services, pods, clusterDns, proxyArgs = [] } = this.#options;
    const pki = join(this.directory, "pki");
    const all = await ensureCredentials(pki, { ...layout, serviceRange: services });
    this.#credentials = all;
    const [[master], [node]] = [all.masters, all.nodes];
    if (master === undefined || node === undefined) throw new Error("no credentials");
    const client = (pair: { readonly cert: string; readonly key: string }) => [
      ...this.#api(all.ca),
      ...["--client-certificate", pair.cert, "--client-key", pair.key],
    ];
    const dnsArgs = clusterDns === undefined ? [] : ["--cluster-dns", clusterDns];
    this.#launch([
      ...["apiserver", "--name", "m", "--data-dir", join(this.directory, "m")],
      ...["--bind-address", "::1", "--grpc-port", `${grpc}`, "--https-port", `${https}`],
      ...["--listen-peer", `127.0.0.1:${peer}`],
      ...["--initial-cluster", `m=127.0.0.1:${peer}/${master.peerId}`],
      ...["--peer-key-file", master.peerKeyFile, "--client-ca-file", all.ca],
      ...["--tls-cert-file", master.server.cert, "--tls-private-key-file", master.server.key],
      ...["--kubelet-client-certificate", master.client.cert],
      ...["--kubelet-client-key", master.client.key],
      ...["--service-cluster-ip-range", services, ...dnsArgs],
      ...["--service-account-signing-key-file", all.serviceAccountKey.privateKey],
      ...["--service-account-key-file", all.serviceAccountKey.publicKey],
    ]);
    this.#launch([
      ...["controller-manager", ...client(all.controllerManager), "--cluster-cidr", pods],
      ...["--service-account-private-key-file", all.serviceAccountKey.privateKey],
      ...["--root-ca-file", all.ca],
    ]);
    this.#launch(["scheduler", ...client(all.scheduler)]);
    this.#launch([
      ...["kubelet", ...client(node.client), "--hostname-override", "n1"],
      ...["--root-dir", join(this.directory, "n1"), "--node-ip", "::1,127.0.0.1"],
      ...["--port", `${kubelet}`, "--client-ca-file", all.ca, "--shutdown-grace-period", "3s"],
      ...["--tls-cert-file", node.server.cert, "--tls-private-key-file", node.server.key],
      ...dnsArgs,
    ]);
    this.#launch([
      ...["kube-proxy", ...client(all.kubeProxy), "--hostname-override", "n1"],
      ...["--bind-address", "::1,127.0.0.1", "--peer-port", `${proxies}`, ...proxyArgs, ...dnsArgs],
    ]);
    if (clusterDns === undefined) {
      this.#launch(["dns", ...client(all.kubeProxy), "--port", `${dns}`, "--resolv-conf", ""]);
    }
    await until("the node to be ready", async () => {
      const ended = this.#programs.ended();
      if (ended !== undefined) throw new Error(`${ended.name} has ended: ${ended.output}`);
      return (await this.trireme("get", "nodes")).split(/\s+/).includes("Ready");
    });
  }

  /** What a user's command says. Throws what it complains of. */
  async trireme(...args: readonly string[]): Promise<string> {
    return this.run([process.execPath, main, ...args, ...this.#asAdmin()]);
  }

  /** Where the programs run: what it writes. Throws what it complains of. */
  async run(command: readonly string[], input = ""): Promise<string> {
    const [program = "", ...args] = this.#entered(command);
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    child.stdin.end(input);
    const ended = new Promise((resolve) => child.once("close", resolve));
    const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    if (code === 0) return out;
    throw new Error(`${command.slice(2, 4).join(" ")}: ${err}`);
  }

  async apply(...documents: readonly object[]): Promise<void> {
    const list = { apiVersion: "v1", kind: "List", items: documents };
    const command = [process.execPath, main, "apply", "-f", "-", ...this.#asAdmin()];
    await this.run(command, JSON.stringify(list));
  }

  /** Of a cluster whose programs run here. */
  client(): TriremeClient {
    const { ca = "", admin } = this.#credentials ?? {};
    const pem = (file = "") => readFileSync(file, "utf8");
    return connectClient({
      servers: [`[::1]:${this.#grpc}`],
      tls: { ca: pem(ca), cert: pem(admin?.cert), key: pem(admin?.key) },
      log: createLog({}, { level: "silent" }),
      identity: "test",
    });
  }

  /** What the programs said last, for the report of a failure. */
  said(): string {
    return this.#programs.said();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#programs.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  #api(ca: string): readonly string[] {
    return ["--server", `[::1]:${this.#grpc}`, "--certificate-authority", ca];
  }

  #asAdmin(): readonly string[] {
    const { ca = "", admin } = this.#credentials ?? {};
    const pair = ["--client-certificate", admin?.cert ?? "", "--client-key", admin?.key ?? ""];
    return [...this.#api(ca), ...pair];
  }

  #entered(command: readonly string[]): readonly string[] {
    return this.#options.enter?.(command) ?? command;
  }

  #launch(args: readonly string[]): void {
    this.#programs.start(args[0] ?? "", this.#entered([process.execPath, main, ...args]));
  }
}

/** A pod's container: it answers at a port of each of the pod's addresses with the pod's name. */
export function answering(port: number): object {
  const script = `for (const host of process.env.IPS.split(",")) {
    require("node:http").createServer((_, to) => to.end(process.env.NAME)).listen(${port}, host);
  }
  console.log(process.env.IPS, process.env.HOSTS);`;
  const field = (name: string, fieldPath: string) => ({
    name,
    valueFrom: { fieldRef: { fieldPath } },
  });
  return {
    name: "c",
    image: "node",
    command: [process.execPath, "-e", script],
    ports: [{ containerPort: port }],
    env: [
      field("NAME", "metadata.name"),
      field("IPS", "status.podIPs"),
      field("HOSTS", "status.hostIPs"),
    ],
  };
}
