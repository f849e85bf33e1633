/** The verbs that go into containers. */
import { type Command, InvalidArgumentError } from "commander";
import type { ForwardFlags, LogFlags, SessionFlags } from "./commands/streams.ts";
import { type Connected, objectVerb, whole, withClient } from "./verbs.ts";

const streams = () => import("./commands/streams.ts");

export function defineStreams(program: Command): void {
  objectVerb(program, "logs <pod>", "print what a container wrote")
    .option("-c, --container <name>", "container")
    .option("-f, --follow", "go on with what it writes")
    .option("-p, --previous", "of the container before its last restart")
    .option("--tail <lines>", "the last lines only", whole)
    .option("--since <duration>", "only what is no older, e.g. 90s, 5m or 2h", seconds)
    .option("--since-time <time>", "only what was written then (RFC 3339) or later")
    .option("--timestamps", "begin each line with its time")
    .option("--limit-bytes <bytes>", "at most so many", whole)
    .action(
      withClient(async (client, flags: Connected<LogFlags>, pod: string) => {
        await (await streams()).logs(client, pod, flags);
      }),
    );
  session(
    program,
    "exec <pod> <command...>",
    "run a program in a container: exec POD -- PROGRAM",
  ).action(
    withClient(async (client, flags: Connected<SessionFlags>, pod: string, command: string[]) => {
      await (await streams()).exec(client, pod, command, flags);
    }),
  );
  session(program, "attach <pod>", "connect to the program of a container").action(
    withClient(async (client, flags: Connected<SessionFlags>, pod: string) => {
      await (await streams()).attach(client, pod, flags);
    }),
  );
  objectVerb(program, "port-forward <pod> <ports...>", "listen here for ports of a pod: 8080:80")
    .option("--address <address>", "where to listen", "127.0.0.1")
    .action(
      withClient(async (client, flags: Connected<ForwardFlags>, pod: string, ports: string[]) => {
        await (await streams()).portForward(client, pod, ports, flags);
      }),
    );
}

function session(program: Command, usage: string, description: string): Command {
  return objectVerb(program, usage, description)
    .option("-c, --container <name>", "container")
    .option("-i, --stdin", "pass this command's input on")
    .option("-t, --tty", "on a terminal");
}

const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };

function seconds(text: string): number {
  const [, count, unit = ""] = /^(\d{1,9})([smh])$/.exec(text) ?? [];
  const factor = secondsOf[unit];
  if (count === undefined || factor === undefined) {
    throw new InvalidArgumentError("a number with s, m or h is wanted.");
  }
  return Number(count) * factor;
}
