/** A real HAProxy with `docker/haproxy.cfg`, before the masters of a cluster on other ports. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { defaultBasePort } from "../../services/cli/layout.ts";
import { eventually } from "../patience.ts";
import { freePorts } from "../ports.ts";
import { locate } from "./needs.ts";

const file = join(dirname(dirname(import.meta.dirname)), "docker/haproxy.cfg");

/** Where the cluster is. */
interface Place {
  readonly basePort: number;
  readonly directory: string;
}

export class HaproxyProcess {
  readonly grpc: string;
  readonly perCall: string;
  readonly etcd: string;
  readonly #config: string;
  readonly #ports: readonly number[];
  #child: ChildProcess | undefined;
  #output = "";

  private constructor(place: Place, ports: readonly number[]) {
    this.#ports = ports;
    const [grpc = "", perCall = "", etcd = ""] = ports.map((port) => `127.0.0.1:${port}`);
    this.grpc = grpc;
    this.perCall = perCall;
    this.etcd = etcd;
    this.#config = join(place.directory, "haproxy.cfg");
    writeFileSync(this.#config, relocated(readFileSync(file, "utf8"), place, ports));
  }

  static async open(place: Place): Promise<HaproxyProcess> {
    return new HaproxyProcess(place, await freePorts(3));
  }

  /** What HAProxy says of the configuration. */
  check(): Promise<string> {
    return new Promise((resolve) => {
      execFile(program(), ["-c", "-V", "-f", this.#config], (_, stdout, stderr) => {
        resolve(`${stdout}${stderr}`);
      });
    });
  }

  async start(): Promise<void> {
    const child = spawn(program(), ["-f", this.#config], { stdio: ["ignore", "ignore", "pipe"] });
    child.stderr?.on("data", (text: Buffer) => {
      this.#output = (this.#output + text).slice(-4096);
    });
    child.on("error", (error) => {
      this.#output += error.message;
    });
    this.#child = child;
    for (const port of this.#ports) await eventually(`port ${port}`, () => listens(port));
  }

  /** What it said last, for a failed test. */
  get output(): string {
    return this.#output;
  }

  /** Ends it by its id. */
  async close(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.pid === undefined) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }
}

function program(): string {
  return locate("haproxy") ?? "haproxy";
}

/** With every timeout of the file that is not a stream's at a second. */
function relocated(config: string, { basePort, directory }: Place, fronts: readonly number[]) {
  return config
    .replaceAll(".trireme/pki", join(directory, "pki"))
    .replaceAll(/(127\.0\.0\.1:| port )(74\d\d)/g, (_, before: string, port: string) => {
      const offset = Number(port) - defaultBasePort;
      return `${before}${fronts[offset] ?? basePort + offset}`;
    })
    .replaceAll(/timeout (queue|http-request|http-keep-alive|client-fin) +\w+/g, "timeout $1 1s");
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
