/** Holds a drill as a person does, on a store of its own, and answers its report. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ReportData } from "../../services/load/report/report-data.ts";

const program = fileURLToPath(import.meta.resolve("../../services/drill/main.ts"));

export interface Held {
  readonly code: number | null;
  readonly report: ReportData;
  readonly stderr: string;
}

export class Drills {
  /** Evidence goes below it. */
  readonly directory = mkdtempSync(join(tmpdir(), "trireme-drill-test-"));

  async hold(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    onError: (line: string, pid: number) => void = () => {},
  ): Promise<Held> {
    const child = spawn(process.execPath, [program, ...args, "--json", "-"], {
      cwd: this.directory,
      env: { ...process.env, INIT_CWD: this.directory, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
      onError(text, child.pid ?? 0);
    });
    const [code] = (await once(child, "close")) as [number | null];
    try {
      return { code, stderr, report: JSON.parse(stdout) as ReportData };
    } catch {
      throw new Error(`the drill printed no report, and ended with ${code}: ${stdout}${stderr}`);
    }
  }

  /** The folders of evidence, the first drill's first. */
  get folders(): string[] {
    const parent = join(this.directory, ".trireme/drills");
    return readdirSync(parent)
      .toSorted()
      .map((name) => join(parent, name));
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
