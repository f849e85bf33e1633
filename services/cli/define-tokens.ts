/** The verbs about bootstrap tokens. */
import { type Command, InvalidArgumentError } from "commander";
import type { TokenFlags } from "./commands/token.ts";
import { type Connected, connected, verb, withClient } from "./verbs.ts";

const tokens = () => import("./commands/token.ts");
const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };
const defaultGroup = "system:bootstrappers:kubeadm:default-node-token";

export function defineTokens(program: Command): void {
  const token = program
    .command("token")
    .description("bootstrap tokens, with which machines join the cluster");
  connected(verb(token, "create [token]", "make a token and print it"))
    .option("--ttl <duration>", "its life, e.g. 24h, 90m or 30s; 0: for ever", seconds, 86_400)
    .option("--usages <names>", "authentication, signing or both", words, [
      "authentication",
      "signing",
    ])
    .option("--groups <names>", "groups of who shows it, below system:bootstrappers:", words, [
      defaultGroup,
    ])
    .option("--description <text>", "what it is for")
    .option("--print-join-command", "print the line with which a machine joins")
    .option(
      "--control-plane",
      "with it: as a master; the secrets of the control plane are kept encrypted for two hours",
    )
    .action(
      withClient(
        async (client, flags: Connected<TokenFlags>, given: string | undefined) =>
          await (await tokens()).createToken(client, given, flags),
      ),
    );
  connected(verb(token, "list", "show all tokens")).action(
    withClient(async (client) => await (await tokens()).listTokens(client)),
  );
  connected(
    verb(token, "delete <tokens...>", "remove tokens, named whole or by their first part"),
  ).action(
    withClient(
      async (client, _flags: Connected<object>, given: string[]) =>
        await (await tokens()).deleteTokens(client, given),
    ),
  );
}

function words(text: string): string[] {
  return text.split(",").filter((each) => each !== "");
}

function seconds(text: string): number {
  if (text === "0") return 0;
  const parts = [...text.matchAll(/(\d{1,6})([smh])/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== text) {
    throw new InvalidArgumentError("a duration such as 24h, 90m or 30s is wanted.");
  }
  return parts.reduce(
    (sum, [, count, unit = ""]) => sum + Number(count) * (secondsOf[unit] ?? 0),
    0,
  );
}
