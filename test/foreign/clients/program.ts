/** Programs of other languages that make the calls of calls.json with generated clients. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface, type Interface } from "node:readline";

/** A call as the programs take it, one JSON text per line. */
export interface ProgramCall {
  /** Service and method, e.g. `trireme.core.v1.Pods/Get`. */
  readonly method: string;
  /** In protobuf's JSON form; one, unless the method streams its requests. */
  readonly requests: readonly unknown[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly deadlineMillis: number;
  /** Ends a stream after so many messages; 0: reads to its end. */
  readonly take: number;
}

/** What the programs answer, one JSON text per line. */
export interface ProgramAnswer {
  readonly code: number;
  readonly message: string;
  /** What grpc-status-details-bin held, decoded. */
  readonly details: readonly { readonly type: string; readonly value: unknown }[];
  /** In protobuf's JSON form. */
  readonly responses: readonly unknown[];
}

export class Program implements Disposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: Interface;
  readonly #answers: AsyncIterator<string>;
  #complaint = "";

  constructor(command: string, args: readonly string[]) {
    this.#child = spawn(command, args);
    this.#child.stderr.on("data", (text) => {
      this.#complaint += text;
    });
    // A program that has ended is found out by its missing answer.
    this.#child.stdin.on("error", () => {});
    this.#lines = createInterface({ input: this.#child.stdout });
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  /** Throws with the program's own words when it ends instead of answering. */
  async call(call: ProgramCall): Promise<ProgramAnswer> {
    this.#child.stdin.write(`${JSON.stringify(call)}\n`);
    const { done, value } = await this.#answers.next();
    if (done) throw new Error(`${call.method}: the program has ended: ${this.#complaint}`);
    return JSON.parse(value) as ProgramAnswer;
  }

  [Symbol.dispose](): void {
    this.#lines.close();
    this.#child.kill();
  }
}
