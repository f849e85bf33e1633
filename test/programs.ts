/** Programs that a test runs beside itself: what they say last is kept, and all are ended with it. */
import { type ChildProcess, spawn } from "node:child_process";

const outputCharactersMax = 20_000;

export interface TestProgram {
  readonly name: string;
  readonly child: ChildProcess;
  /** Both outputs, as they came; the end of them. */
  output: string;
}

export class TestPrograms {
  readonly #all: TestProgram[] = [];

  /** `detached`: in a group of its own, as a terminal's foreground job. */
  start(
    name: string,
    [program = "", ...args]: readonly string[],
    { detached = false }: { readonly detached?: boolean } = {},
  ): TestProgram {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], detached });
    const one: TestProgram = { name, child, output: "" };
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        one.output = (one.output + chunk.toString()).slice(-outputCharactersMax);
      });
    }
    this.#all.push(one);
    return one;
  }

  /** What the programs said last, for the report of a failure. */
  said(): string {
    return this.#all.map(({ name, output }) => `\n== ${name}\n${output}`).join("");
  }

  /** One that has ended by itself. */
  ended(): TestProgram | undefined {
    return this.#all.find(hasEnded);
  }

  /** Ends all that run, in order (SIGTERM), and waits for them. */
  async stop(): Promise<void> {
    const stopped = this.#all.toReversed().map(async (one) => {
      if (hasEnded(one)) return;
      const gone = new Promise((resolve) => one.child.once("exit", resolve));
      one.child.kill("SIGTERM");
      await gone;
    });
    await Promise.all(stopped);
  }
}

export function hasEnded({ child }: TestProgram): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
