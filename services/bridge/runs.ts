/** Drills and loads that were started from the bridge: one at a time, as processes of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

type RunKind = "drill" | "load";

export interface RunFacts {
  readonly id: number;
  readonly kind: RunKind;
  readonly name: string;
  readonly state: "running" | "ended";
  readonly code: number | undefined;
  /** The end of what it has printed. */
  readonly output: string;
  readonly report: boolean;
}

export interface RunsOptions {
  readonly dataDirectory: string;
  /** Where reports are kept. */
  readonly folder: string;
  readonly changed: () => void;
}

interface Run {
  readonly id: number;
  readonly kind: RunKind;
  readonly name: string;
  readonly child: ChildProcess;
  readonly report: string;
  output: string;
  code: number | undefined;
  ended: boolean;
}

const root = dirname(dirname(import.meta.dirname));
const outputCharsMax = 4_000;
const runsKept = 20;
const namePattern = /^[a-z][a-z-]{0,40}$/;
const durationPattern = /^\d{1,4}(ms|s|m)?$/;

/** What is wrong with what the user asks for. */
export class RunError extends Error {}

export class Runs {
  readonly #options: RunsOptions;
  #runs: Run[] = [];
  #ids = 0;

  constructor(options: RunsOptions) {
    this.#options = options;
  }

  facts(): RunFacts[] {
    return this.#runs.map(({ id, kind, name, ended, code, output, report }) => ({
      ...{ id, kind, name, code, output, state: ended ? "ended" : "running" },
      report: ended && existsSync(report),
    }));
  }

  /** Throws a RunError. Which drills and profiles there are, the started program knows. */
  start(request: unknown): number {
    const { kind, name, duration = "10s" } = (request ?? {}) as Record<string, unknown>;
    if (kind !== "drill" && kind !== "load") throw new RunError('kind must be "drill" or "load"');
    if (typeof name !== "string" || !namePattern.test(name)) {
      throw new RunError(`name must be a ${kind}'s name, such as leader-kill or put`);
    }
    if (typeof duration !== "string" || !durationPattern.test(duration)) {
      throw new RunError("duration must be a time such as 30s or 5m");
    }
    const busy = this.#runs.find(({ ended }) => !ended);
    if (busy !== undefined) throw new RunError(`${busy.kind} ${busy.name} is still running`);
    const { dataDirectory, folder } = this.#options;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const id = ++this.#ids;
    const report = join(folder, `${Date.now()}-${kind}-${name}.html`);
    const length = kind === "load" ? ["--duration", duration] : [];
    const args = [name, "--data-dir", dataDirectory, "--html", report, ...length];
    const child = spawn(process.execPath, [join(root, `services/${kind}/main.ts`), ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#watch({ id, kind, name, child, report, output: "", code: undefined, ended: false });
    return id;
  }

  /** Ends the run as Ctrl-C does: its fault is undone, and what was seen is written. */
  interrupt(id: number): boolean {
    const run = this.#runs.find((each) => each.id === id && !each.ended);
    return run?.child.kill("SIGINT") === true;
  }

  report(id: number): string | undefined {
    const run = this.#runs.find((each) => each.id === id);
    return run !== undefined && existsSync(run.report)
      ? readFileSync(run.report, "utf8")
      : undefined;
  }

  async close(): Promise<void> {
    const running = this.#runs.filter(({ ended }) => !ended);
    await Promise.all(
      running.map(({ child }) => {
        const gone = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGINT");
        return gone;
      }),
    );
  }

  #watch(run: Run): void {
    const { child } = run;
    this.#runs = [...this.#runs, run].slice(-runsKept);
    const take = (piece: Buffer) => {
      run.output = (run.output + piece.toString()).slice(-outputCharsMax);
      this.#options.changed();
    };
    child.stdout?.on("data", take);
    child.stderr?.on("data", take);
    child.once("error", (error) => take(Buffer.from(`could not be started: ${error.message}`)));
    child.once("close", (code, signal) => {
      run.ended = true;
      run.code = code ?? undefined;
      if (signal !== null) take(Buffer.from(`\nended by ${signal}`));
      this.#options.changed();
    });
    this.#options.changed();
  }
}
