/** Clusters of three nodes on which the cases of pods are tried: by processes, and by containerd. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { ensureCredentials } from "../../services/cli/credentials.ts";
import { kubeconfigText, writeKubeconfig } from "../../services/cli/kubeconfig.ts";
import { TestCluster, until } from "../e2e/cluster.ts";
import { hasEnded, type TestProgram, TestPrograms } from "../programs.ts";
import { Containerd, unmountBelow } from "./containerd.ts";
import { writeLayout } from "./image-layout.ts";
import type { Outcome } from "./kubectl-process.ts";
import {
  addRoute,
  connectMachine,
  type Machine,
  makeMachines,
  processesOf,
  removeMachines,
  within,
} from "./namespaces.ts";
import { locate } from "./needs.ts";

export interface PodWorld extends AsyncDisposable {
  readonly runtime: "process" | "cri";
  readonly nodes: readonly string[];
  /** Of the pods' containers; it has a shell. */
  readonly image: string;
  /** busybox as a container calls it. */
  readonly busybox: string;
  /** Runs a program where the API and the nodes' ports are. */
  run(command: readonly string[], input?: string): Promise<Outcome>;
  start(command: readonly string[]): ChildProcess;
  kubectl(...args: readonly string[]): Promise<string>;
  apply(...documents: readonly object[]): Promise<void>;
  /** The machine of a node loses its power. */
  kill(node: string): Promise<void>;
  /** What the programs said, for the report of a failure. */
  said(): string;
}

const millisMax = 60_000;

abstract class World {
  readonly kubeconfig: string;
  protected readonly enter: (command: readonly string[]) => readonly string[];

  constructor(kubeconfig: string, enter: (command: readonly string[]) => readonly string[]) {
    this.kubeconfig = kubeconfig;
    this.enter = enter;
  }

  start(command: readonly string[]): ChildProcess {
    const [program = "", ...args] = this.enter(
      command[0] === "kubectl"
        ? ["kubectl", "--kubeconfig", this.kubeconfig, ...command.slice(1)]
        : command,
    );
    return spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
  }

  async run(command: readonly string[], input = ""): Promise<Outcome> {
    const child = this.start(command);
    const timer = setTimeout(() => child.kill("SIGKILL"), millisMax);
    const { stdin, stdout, stderr } = child;
    if (stdin === null || stdout === null || stderr === null) throw new Error("no pipes");
    stdin.on("error", () => undefined); // the program read no more
    stdin.end(input);
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    const [out, err, code] = await Promise.all([text(stdout), text(stderr), ended]);
    clearTimeout(timer);
    return { code, out, err };
  }

  async kubectl(...args: readonly string[]): Promise<string> {
    const { code, out, err } = await this.run(["kubectl", ...args]);
    if (code !== 0) throw new Error(`kubectl ${args.join(" ")}: ${err}`);
    return out;
  }

  async apply(...documents: readonly object[]): Promise<void> {
    const list = { apiVersion: "v1", kind: "List", items: documents };
    const { code, err } = await this.run(["kubectl", "apply", "-f", "-"], JSON.stringify(list));
    if (code !== 0) throw new Error(`kubectl apply: ${err}`);
  }
}

class ProcessWorld extends World implements PodWorld {
  readonly runtime = "process";
  readonly nodes = ["node-0", "node-1", "node-2"];
  readonly image = "busybox";
  readonly busybox = locate("busybox") ?? "";
  readonly #cluster: TestCluster;

  constructor(cluster: TestCluster) {
    super(cluster.endpoints.kubeconfig, (command) => command);
    this.#cluster = cluster;
  }

  async kill(node: string): Promise<void> {
    const found = this.#cluster.endpoints.nodes.find(({ name }) => name === node);
    process.kill(found?.pid ?? 0, "SIGKILL");
  }

  said(): string {
    return this.#cluster.logs();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#cluster.close();
  }
}

/** Pods are processes of this machine. */
export async function processWorld(): Promise<PodWorld> {
  const cluster = new TestCluster();
  await cluster.up(["--node-return-seconds", "600"]);
  return new ProcessWorld(cluster);
}

const serviceRange = "10.96.0.0/16";
const clusterDns = "10.96.0.10";
const sandboxImage = "localhost/pause:1";
const image = "localhost/busybox:1";
const main = join(dirname(dirname(import.meta.dirname)), "services/cli/main.ts");

interface CriNode extends Machine {
  readonly node: string;
  readonly directory: string;
  readonly containerd: Containerd;
}

class CriWorld extends World implements PodWorld {
  readonly runtime = "cri";
  readonly nodes: readonly string[];
  readonly image = image;
  readonly busybox = "busybox";
  readonly machines: readonly CriNode[];
  readonly #directory: string;
  readonly #programs = new TestPrograms();

  constructor(directory: string, machines: readonly CriNode[]) {
    const [first] = machines;
    super(join(directory, "kubeconfig"), (command) => [
      "nsenter",
      ...within(first?.name ?? "", command),
    ]);
    this.#directory = directory;
    this.machines = machines;
    this.nodes = machines.map(({ node }) => node);
  }

  /** A `trireme` program on a machine. */
  launch(machine: string, args: readonly string[]): TestProgram {
    const command = ["nsenter", ...within(machine, [process.execPath, main, ...args])];
    return this.#programs.start(`${machine} ${args[0]}`, command);
  }

  /** Every process of the machine ends, its containers' too. */
  async kill(node: string): Promise<void> {
    const machine = this.#machineOf(node);
    for (const pid of processesOf(machine.name, machine.directory)) process.kill(pid, "SIGKILL");
  }

  /** Cuts a node off from all others, or connects it again. */
  connect(node: string, connected: boolean): void {
    connectMachine(this.#machineOf(node).name, connected);
  }

  /** UIDs of the pods of which a container runs there, as the node's runtime has it. */
  async runningPods(node: string): Promise<readonly string[]> {
    return this.#machineOf(node).containerd.runningPods();
  }

  #machineOf(node: string): CriNode {
    const machine = this.machines.find((each) => each.node === node);
    if (machine === undefined) throw new Error(`no node ${node}`);
    return machine;
  }

  said(): string {
    return this.#programs.said();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#programs.stop();
    for (const { containerd } of this.machines) await containerd.kill("SIGTERM");
    for (const { node } of this.machines) await this.kill(node);
    unmountBelow(this.#directory);
    removeMachines(this.machines.map(({ name }) => name));
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Three machines in network namespaces, each with a containerd; the first has the master, too. */
export async function criWorld(prefix: string): Promise<CriWorldHandle> {
  // A socket's path is short.
  const directory = mkdtempSync("/tmp/tp-");
  const images = join(directory, "images");
  writeLayout(join(images, "busybox"), [
    { names: [image, sandboxImage], command: ["sleep", "2147483647"] },
    { names: ["localhost/user:1"], command: ["id"], user: "1000" },
  ]);
  const machines = [0, 1, 2].map((i): CriNode => {
    const name = `${prefix}m${i}`;
    const own = join(directory, `m${i}`);
    const podRange = `10.244.${i}.0/24`;
    const containerd = new Containerd({ machine: name, directory: own, podRange, sandboxImage });
    const address = `10.213.7.${i + 1}`;
    return { name, address, node: `node-${i}`, directory: own, containerd };
  });
  const world = new CriWorld(directory, machines);
  try {
    await assemble(world, directory, images);
  } catch (error) {
    const said = world.said();
    await world[Symbol.asyncDispose]();
    throw new Error(`the world could not be made: ${(error as Error).message}${said}`, {
      cause: error,
    });
  }
  return world;
}

export type CriWorldHandle = PodWorld & Pick<CriWorld, "machines" | "connect" | "runningPods">;

async function assemble(world: CriWorld, directory: string, images: string): Promise<void> {
  const [first, ...others] = world.machines;
  if (first === undefined) throw new Error("no machines");
  makeMachines(first, others);
  for (const { name } of world.machines) {
    // The node's kube-proxy takes the services' addresses for the machine's own.
    addRoute(name, ["local", serviceRange, "dev", "lo"]);
    for (const [i, { name: other, address }] of world.machines.entries()) {
      if (other !== name) addRoute(name, [`10.244.${i}.0/24`, "via", address]);
    }
  }
  const started = world.machines.map(({ containerd }) => containerd.start());
  await startMaster(world, first, directory);
  await Promise.all(started);
  const line = await until("a token", async () => {
    const { code, out, err } = await world.run([
      ...[process.execPath, main, "token", "create", "--print-join-command"],
      ...readFileSync(join(directory, "api"), "utf8").split("\n"),
    ]);
    if (code !== 0) throw new Error(err);
    return out;
  });
  const [, ...words] = line.trim().split(" ");
  const joining = world.machines.map(({ name, node, directory: own, address, containerd }) =>
    world.launch(name, [
      ...words,
      ...["--node-name", node, "--node-ip", address, "--data-dir", join(own, "node")],
      ...["--container-runtime-endpoint", containerd.endpoint, "--image-root", images],
    ]),
  );
  await until("the nodes to join", async () => {
    const ended = joining.find(hasEnded);
    if (ended !== undefined) throw new Error(ended.output);
    return joining.every(({ output }) => /has joined the cluster and is ready/.test(output));
  });
}

async function startMaster(world: CriWorld, { name, address }: CriNode, directory: string) {
  const hosts = { masters: ["m"], nodes: [], hosts: [address] };
  const all = await ensureCredentials(join(directory, "pki"), hosts);
  const [master] = all.masters;
  if (master === undefined) throw new Error("no credentials");
  const rest = `${address}:6443`;
  const peer = `${address}:7463`;
  const client = (pair: { readonly cert: string; readonly key: string }) => [
    ...["--server", `${address}:7453`, "--certificate-authority", all.ca],
    ...["--client-certificate", pair.cert, "--client-key", pair.key],
  ];
  writeFileSync(join(directory, "api"), client(all.admin).join("\n"));
  const pem = (file: string) => readFileSync(file, "utf8");
  const pair = { cert: pem(all.admin.cert), key: pem(all.admin.key) };
  const servers = [`https://${rest}`];
  writeKubeconfig(
    world.kubeconfig,
    kubeconfigText({ servers, ca: pem(all.ca), user: "admin", pair }),
  );
  world.launch(name, [
    ...["apiserver", "--name", "m", "--data-dir", join(directory, "m")],
    ...["--bind-address", address, "--grpc-port", "7453", "--https-port", "6443"],
    ...["--listen-peer", peer, "--initial-cluster", `m=${peer}/${master.peerId}`],
    ...["--peer-key-file", master.peerKeyFile, "--client-ca-file", all.ca],
    ...["--tls-cert-file", master.server.cert, "--tls-private-key-file", master.server.key],
    ...["--kubelet-client-certificate", master.client.cert],
    ...["--kubelet-client-key", master.client.key],
    ...["--service-cluster-ip-range", serviceRange, "--cluster-dns", clusterDns],
    ...["--default-not-ready-toleration-seconds", "1"],
    ...["--default-unreachable-toleration-seconds", "1"],
    ...["--service-account-signing-key-file", all.serviceAccountKey.privateKey],
    ...["--service-account-key-file", all.serviceAccountKey.publicKey],
    ...["--kubernetes-service-endpoints", rest, "--advertise-grpc-endpoints", `${address}:7453`],
  ]);
  world.launch(name, [
    ...["controller-manager", ...client(all.controllerManager)],
    ...["--cluster-signing-cert-file", all.ca, "--cluster-signing-key-file", all.caKey],
    ...["--service-account-private-key-file", all.serviceAccountKey.privateKey],
    ...["--root-ca-file", all.ca],
    `--volume-host-path-dir=${join(directory, "volumes")}`,
  ]);
  world.launch(name, ["scheduler", ...client(all.scheduler)]);
}
