/**
 * Runs `trireme` commands one after the other in this process, and prints as JSON what each wrote
 * and its exit code. A process for each would spend its time on loading the same modules.
 */
import { runCommand } from "../../services/cli/commands.ts";
import { programNames, runComponent } from "../../services/cli/programs.ts";
import type { Ended } from "./run-program.ts";

async function run(name: string, args: readonly string[]): Promise<Ended> {
  const written = { stdout: "", stderr: "" };
  const { stdout, stderr } = process;
  const writes = { stdout: stdout.write, stderr: stderr.write };
  for (const stream of ["stdout", "stderr"] as const) {
    process[stream].write = (text: string | Uint8Array) => {
      written[stream] += text;
      return true;
    };
  }
  process.exitCode = 0;
  try {
    if (!(await runComponent(name, args))) await runCommand([name, ...args], programNames);
  } finally {
    stdout.write = writes.stdout;
    stderr.write = writes.stderr;
  }
  return { code: Number(process.exitCode), ...written };
}

const ended: Ended[] = [];
for (const [name = "", ...args] of JSON.parse(process.argv[2] ?? "") as string[][]) {
  ended.push(await run(name, args));
}
process.exitCode = 0;
process.stdout.write(JSON.stringify(ended));
