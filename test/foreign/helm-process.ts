import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Outcome } from "./kubectl-process.ts";

const millisMax = 120_000;

/** A helm of either major version, with a home and a namespace of its own. */
export class Helm implements Disposable {
  readonly #program: string;
  readonly #kubeconfig: string;
  readonly #namespace: string;
  readonly #home = mkdtempSync(join(tmpdir(), "trireme-helm-"));

  constructor(program: string, kubeconfig: string, namespace: string) {
    this.#program = program;
    this.#kubeconfig = kubeconfig;
    this.#namespace = namespace;
  }

  /** Runs helm to its end. */
  async run(args: readonly string[]): Promise<Outcome> {
    const common = ["--kubeconfig", this.#kubeconfig, "--namespace", this.#namespace];
    const home = (name: string) => join(this.#home, name);
    const child = spawn(this.#program, [...common, ...args], {
      env: {
        ...process.env,
        ...{ HELM_CACHE_HOME: home("cache"), HELM_CONFIG_HOME: home("config") },
        HELM_DATA_HOME: home("data"),
      },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: millisMax,
    });
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    const [out, err, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    return { code, out, err };
  }

  [Symbol.dispose](): void {
    rmSync(this.#home, { recursive: true, force: true });
  }
}
