/** A Prometheus of one's own on a free port of loopback, with what it keeps in a folder of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../patience.ts";
import { freePort } from "../ports.ts";

export class Prometheus {
  readonly folder = mkdtempSync(join(tmpdir(), "trireme-prometheus-"));
  #process: ChildProcess | undefined;
  #address = "";
  #output = "";

  /** Writes a file of the folder and answers its path. */
  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  async start(configFile: string): Promise<void> {
    this.#address = `127.0.0.1:${await freePort()}`;
    const child = spawn("prometheus", [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(this.folder, "data")}`,
      `--web.listen-address=${this.#address}`,
    ]);
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.#output = (this.#output + text).slice(-4_000);
      });
    }
    const ready = async () => {
      if (child.exitCode !== null) throw new Error(`prometheus ended: ${this.#output}`);
      const answer = await fetch(`http://${this.#address}/-/ready`).catch(() => undefined);
      return answer?.ok === true;
    };
    await eventually("Prometheus is ready", ready);
  }

  /** The data of an answer of its API. Throws what the API says is wrong. */
  async ask<T>(path: string, fields: Readonly<Record<string, string>> = {}): Promise<T> {
    const query = new URLSearchParams(fields);
    const response = await fetch(`http://${this.#address}/api/v1/${path}?${query}`);
    const answer = (await response.json()) as { status: string; error?: string; data: T };
    if (answer.status !== "success") throw new Error(`${path}?${query}: ${answer.error}`);
    return answer.data;
  }

  async close(): Promise<void> {
    const child = this.#process;
    if (child !== undefined && child.exitCode === null) {
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
