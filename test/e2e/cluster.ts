/** A real cluster of processes in a directory of its own, driven as a user drives it. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createLog } from "../../ha/runtime/production/log.ts";
import type { Endpoints } from "../../services/cli/endpoints.ts";
import { connectClient, type TriremeClient } from "../../services/client/mod.ts";
import { freeBasePort } from "../ports.ts";

const root = dirname(dirname(import.meta.dirname));

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `trireme ARGS`; never rejects. */
export function trireme(args: readonly string[], input?: string): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [join(root, "services/cli/main.ts"), ...args],
      { maxBuffer: 64 * 1024 * 1024, timeout: 200_000 },
      (error, stdout, stderr) => {
        const code = error ? (typeof error.code === "number" ? error.code : 1) : 0;
        resolve({ code, stdout, stderr });
      },
    );
    child.stdin?.end(input ?? "");
  });
}

export class TestCluster {
  readonly directory = mkdtempSync(join(tmpdir(), "trireme-e2e-"));
  #basePort: number | undefined;

  /** `basePort`: default, one whose ports are all free when `up` comes to it. */
  constructor(basePort?: number) {
    this.#basePort = basePort;
  }

  /** Throws before `up`, unless it was given. */
  get basePort(): number {
    if (this.#basePort === undefined) throw new Error("the cluster has no ports before it is up");
    return this.#basePort;
  }

  get endpoints(): Endpoints {
    return JSON.parse(readFileSync(join(this.directory, "endpoints.json"), "utf8")) as Endpoints;
  }

  /** Throws with the command's own words when it fails. */
  async up(flags: readonly string[] = []): Promise<void> {
    this.#basePort ??= await freeBasePort();
    const port = String(this.basePort);
    const args = ["up", "--detach", "--data-dir", this.directory, "--base-port", port, ...flags];
    const result = await trireme(args);
    if (result.code !== 0) throw new Error(`up: ${result.stderr}${this.logs()}`);
  }

  run(args: readonly string[], input?: string): Promise<CommandResult> {
    return trireme([...args, "--data-dir", this.directory], input);
  }

  /** `servers`: masters or balancers; default: the cluster's balancers. */
  client(servers?: readonly string[]): TriremeClient {
    const { grpcEndpoints, ca, clientCert, clientKey } = this.endpoints;
    const pem = (file: string) => readFileSync(file, "utf8");
    return connectClient({
      servers: servers ?? grpcEndpoints,
      tls: { ca: pem(ca), cert: pem(clientCert), key: pem(clientKey) },
      log: createLog({}, { level: "silent" }),
      identity: "test",
    });
  }

  /** Every process of the cluster, the supervisor first. */
  pids(): number[] {
    const e = this.endpoints;
    const all = [
      e.supervisor.pid,
      ...[...e.masters, ...e.schedulers, ...e.controllerManagers].map(({ pid }) => pid),
      ...e.nodes.flatMap(({ pid, kubeProxyPid }) => [pid, kubeProxyPid]),
      ...e.balancers.map(({ pid }) => pid),
    ];
    return all.filter((pid): pid is number => pid !== undefined);
  }

  /** The end of every log, for the report of a failure. */
  logs(): string {
    const names = ["supervisor", "master-0", "master-1", "master-2", "balancer-0", "node-0"];
    return names
      .map((name) => {
        try {
          const text = readFileSync(join(this.directory, "log", `${name}.log`), "utf8");
          return `\n== ${name}\n${text.trimEnd().split("\n").slice(-8).join("\n")}`;
        } catch {
          return `\n== ${name}: no log`;
        }
      })
      .join("");
  }

  async close(): Promise<void> {
    await this.run(["down"]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Waits for a condition; what it last threw, or `what`, is the failure. */
export async function until<T>(
  what: string,
  condition: () => Promise<T | undefined | false>,
  withinMillis = 60_000,
  pauseMillis = 100,
): Promise<T> {
  const deadline = Date.now() + withinMillis;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`waited ${withinMillis} ms for ${what}`, { cause: last });
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMillis));
  }
}
