/** What the definitions of commands are made of. */
import { resolve } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import type { TriremeClient } from "../client/mod.ts";
import type { ConnectionFlags } from "./connect.ts";

export type Connected<F> = F & ConnectionFlags;

const defaultDataDir = ".trireme";

/** Relative paths are relative to where the user is, even under `npm run`. */
export function directory(text: string): string {
  return resolve(process.env["INIT_CWD"] ?? process.cwd(), text);
}

export function whole(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) {
    throw new InvalidArgumentError("a whole number is wanted.");
  }
  return value;
}

export function yesOrNo(text: string): boolean {
  if (text !== "true" && text !== "false")
    throw new InvalidArgumentError("true or false is wanted.");
  return text === "true";
}

export function verb(program: Command, usage: string, description: string): Command {
  return program
    .command(usage)
    .description(description)
    .option(
      "--data-dir <directory>",
      "state of the local cluster",
      directory,
      directory(defaultDataDir),
    );
}

/** Adds the flags by which a command finds its servers. */
export function connected(command: Command): Command {
  return command
    .option("--server <host:port,…>", "balancers or masters, instead of the local cluster")
    .option("--certificate-authority <file>", "CA of the servers (PEM)", directory)
    .option("--client-certificate <file>", "own certificate (PEM)", directory)
    .option("--client-key <file>", "own key (PEM)", directory);
}

export function objectVerb(program: Command, usage: string, description: string): Command {
  return connected(verb(program, usage, description)).option(
    "-n, --namespace <name>",
    "namespace",
    "default",
  );
}

/** Commander calls with the arguments, then the flags, then the command itself. */
export function withClient<F extends ConnectionFlags, A extends readonly unknown[]>(
  run: (client: TriremeClient, flags: F, ...args: A) => Promise<void>,
): (...all: unknown[]) => Promise<void> {
  return async (...all) => {
    const flags = all.at(-2) as F;
    const client = (await import("./connect.ts")).connect(flags);
    try {
      await run(client, flags, ...(all.slice(0, -2) as unknown as A));
    } finally {
      client.close();
    }
  };
}
