import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { eventually } from "../patience.ts";
import { locate } from "./needs.ts";

const etcdctl = locate("etcdctl") ?? "etcdctl";

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** One run of an unmodified etcdctl. */
export class Running {
  readonly process: ChildProcess;
  readonly done: Promise<Result>;
  stdout = "";
  stderr = "";

  constructor(endpoints: string, args: readonly string[], input?: string) {
    // Only what is said here decides: no ETCDCTL_ variable of the environment.
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("ETCDCTL_"));
    const env = { ...Object.fromEntries(inherited), ETCDCTL_API: "3" };
    this.process = spawn(etcdctl, [`--endpoints=${endpoints}`, "--command-timeout=10s", ...args], {
      env,
      stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    this.process.stdin?.end(input);
    this.process.stdout?.on("data", (text: Buffer) => {
      this.stdout += text;
    });
    this.process.stderr?.on("data", (text: Buffer) => {
      this.stderr += text;
    });
    this.done = new Promise((resolve, reject) => {
      this.process.on("error", reject);
      this.process.on("close", (code) => {
        resolve({ code, stdout: this.stdout, stderr: this.stderr });
      });
    });
  }

  async prints(text: string): Promise<void> {
    try {
      await eventually(text, () => this.stdout === text);
    } catch {
      assert.equal(this.stdout, text, this.stderr);
    }
  }

  interrupt(): Promise<Result> {
    this.process.kill("SIGINT");
    return this.done;
  }
}
