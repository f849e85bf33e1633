/** A real containerd in a network namespace: a node's own, with a bridge for its pods. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { accessSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { call } from "../../ha/rpc/mod.ts";
import { ContainerState } from "../../proto/gen/cri.ts";
import { connectCri } from "../../services/kubelet/runtime/cri/connection.ts";
import { eventually } from "../patience.ts";
import { needsNamespaces, within } from "./namespaces.ts";
import { locate, needs } from "./needs.ts";

/** Options of a suite that drives containerd; `prefix`: of the names of its namespaces. */
export function needsContainerd(prefix: string): { readonly skip: string | false } {
  for (const [program, debianPackage] of programs) {
    const { skip } = needs(program, debianPackage);
    if (skip !== false) return { skip };
  }
  const { skip } = needsNamespaces(prefix);
  if (skip !== false) return { skip };
  return { skip: plugins() === undefined && "skipped: needs containernetworking-plugins" };
}

const programs = [
  ["containerd", "containerd"],
  ["runc", "runc"],
  ["busybox", "busybox-static"],
  ["tar", "tar"],
] as const;

/** Where the network plugins are: of the system, or beside the containerd of `.ci/foreign.sh`. */
function plugins(): string | undefined {
  const own = join(dirname(locate("containerd") ?? "/"), "../containerd/usr/lib/cni");
  return [own, "/usr/lib/cni", "/opt/cni/bin"].find((folder) => {
    try {
      accessSync(join(folder, "bridge"));
      return true;
    } catch {
      return false;
    }
  });
}

export interface ContainerdOptions {
  /** Its network namespace. */
  readonly machine: string;
  /** For its state and its socket, whose path is at most 100 characters long. */
  readonly directory: string;
  /** e.g. 10.244.1.0/24 */
  readonly podRange: string;
  /** Where exec and its like are served; default: the namespace's loopback. */
  readonly streamAddress?: string;
  readonly sandboxImage: string;
}

export class Containerd implements AsyncDisposable {
  readonly endpoint: string;
  readonly #options: ContainerdOptions;
  readonly #networkFile: string;
  #child: ChildProcess | undefined;
  #output = "";

  constructor(options: ContainerdOptions) {
    this.#options = options;
    this.endpoint = `unix://${join(options.directory, "c.sock")}`;
    const network = join(options.directory, "cni");
    mkdirSync(network, { recursive: true });
    this.#networkFile = join(network, "10-pods.conflist");
    this.useRanges([options.podRange]);
    writeFileSync(join(options.directory, "config.toml"), this.#configuration(network));
  }

  /** Of pods that are made from then on when it has seen the file: an address of each range. */
  useRanges(ranges: readonly string[]): void {
    writeFileSync(this.#networkFile, JSON.stringify(this.#network(ranges)));
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const { machine, directory } = this.#options;
    const command = [locate("containerd") ?? "", "-c", join(directory, "config.toml")];
    const child = spawn("nsenter", within(machine, command), { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString()).slice(-20_000);
      });
    }
    const connection = connectCri(this.endpoint);
    try {
      await eventually("containerd to answer", () => {
        if (child.exitCode !== null) throw new Error(`containerd has ended: ${this.#output}`);
        const asked = call(connection.runtime, "status", {}, { deadlineMillis: 2_000 });
        return asked.then(
          ({ status }) => status?.conditions?.every((each) => each.status === true),
          () => false,
        );
      });
    } finally {
      connection.close();
    }
  }

  /** UIDs of the pods that have a running container. */
  async runningPods(): Promise<readonly string[]> {
    const connection = connectCri(this.endpoint);
    try {
      const settings = { deadlineMillis: 5_000 };
      const { containers = [] } = await call(connection.runtime, "listContainers", {}, settings);
      return containers
        .filter(({ state }) => state === ContainerState.CONTAINER_RUNNING)
        .flatMap(({ labels }) => labels?.["io.kubernetes.pod.uid"] ?? []);
    } finally {
      connection.close();
    }
  }

  get output(): string {
    return this.#output;
  }

  /** Its containers run on, and what is mounted for them stays (`unmountBelow`). */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill("SIGTERM");
  }

  #network(ranges: readonly string[]) {
    const { directory } = this.#options;
    return {
      cniVersion: "0.4.0",
      name: "pods",
      plugins: [
        {
          type: "bridge",
          bridge: "cni0",
          isGateway: true,
          hairpinMode: true,
          ipam: {
            type: "host-local",
            dataDir: join(directory, "ipam"),
            ranges: ranges.map((subnet) => [{ subnet }]),
            routes: ranges.map((range) => ({ dst: range.includes(":") ? "::/0" : "0.0.0.0/0" })),
          },
        },
        { type: "portmap", capabilities: { portMappings: true } },
      ],
    };
  }

  #configuration(network: string): string {
    const { directory, sandboxImage, streamAddress = "127.0.0.1" } = this.#options;
    const text = (value: string) => JSON.stringify(value);
    const cri = 'plugins."io.containerd.grpc.v1.cri"';
    return [
      "version = 2",
      `root = ${text(join(directory, "root"))}`,
      `state = ${text(join(directory, "state"))}`,
      "[grpc]",
      `  address = ${text(join(directory, "c.sock"))}`,
      `[${cri}]`,
      `  sandbox_image = ${text(sandboxImage)}`,
      "  restrict_oom_score_adj = true",
      "  netns_mounts_under_state_dir = true",
      `  stream_server_address = ${text(streamAddress)}`,
      `  [${cri}.cni]`,
      `    bin_dir = ${text(plugins() ?? "")}`,
      `    conf_dir = ${text(network)}`,
      `  [${cri}.containerd.runtimes.runc]`,
      '    runtime_type = "io.containerd.runc.v2"',
      `    [${cri}.containerd.runtimes.runc.options]`,
      `      BinaryName = ${text(locate("runc") ?? "")}`,
      "",
    ].join("\n");
  }
}

/** Of a runtime that was killed: mounts of containers that are no more. */
export function unmountBelow(directory: string): void {
  const paths = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => path.startsWith(`${directory}/`));
  for (const path of paths.toReversed()) execFileSync("umount", ["--lazy", path]);
}
