/** A real etcd of one member on loopback, with a data directory of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../ports.ts";
import { locate } from "./needs.ts";

/** Files in PEM: clients must show a certificate of the same CA. */
export interface EtcdTls {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export class EtcdProcess {
  readonly endpoint: string;
  readonly #args: readonly string[];
  readonly #folder: string;
  #child: ChildProcess | undefined;
  #output = "";

  constructor(folder: string, clientPort: number, peerPort: number, tls: EtcdTls | undefined) {
    this.#folder = folder;
    this.endpoint = `127.0.0.1:${clientPort}`;
    const client = `${tls ? "https" : "http"}://${this.endpoint}`;
    const peer = `http://127.0.0.1:${peerPort}`;
    this.#args = [
      ...["--name=only", `--data-dir=${join(folder, "data")}`, "--log-level=warn"],
      ...[`--listen-client-urls=${client}`, `--advertise-client-urls=${client}`],
      ...[`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`],
      ...[`--initial-cluster=only=${peer}`, "--heartbeat-interval=20", "--election-timeout=200"],
      ...(tls
        ? [`--cert-file=${tls.cert}`, `--key-file=${tls.key}`, `--trusted-ca-file=${tls.ca}`]
        : []),
      ...(tls ? ["--client-cert-auth"] : []),
    ];
  }

  static async open(tls?: EtcdTls): Promise<EtcdProcess> {
    const folder = mkdtempSync(join(tmpdir(), "trireme-etcd-"));
    const [clientPort = 0, peerPort = 0] = await freePorts(2);
    const etcd = new EtcdProcess(folder, clientPort, peerPort, tls);
    etcd.start();
    return etcd;
  }

  start(): void {
    const child = spawn(locate("etcd") ?? "etcd", this.#args, {
      env: { PATH: process.env["PATH"], ETCD_UNSUPPORTED_ARCH: process.arch },
      stdio: ["ignore", "ignore", "pipe"],
    });
    child.stderr?.on("data", (text: Buffer) => {
      this.#output = (this.#output + text).slice(-4096);
    });
    // The wait for its first answer reports the failure.
    child.on("error", (error) => {
      this.#output += error.message;
    });
    this.#child = child;
  }

  /** What it said last, for a failed test. */
  get output(): string {
    return this.#output;
  }

  /** Ends it by its id; its data stays. */
  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.pid === undefined) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
