/** The verbs about bootstrap tokens. */
import { type Command, InvalidArgumentError } from "commander";
import type { JoinFlags } from "./commands/join.ts";
import type { TokenFlags } from "./commands/token.ts";
import { type Connected, connected, directory, verb, whole, withClient } from "./verbs.ts";

const tokens = () => import("./commands/token.ts");
const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };
const defaultGroup = "system:bootstrappers:kubeadm:default-node-token";

export function defineTokens(program: Command): void {
  defineJoin(program);
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

function defineJoin(program: Command): void {
  program
    .command("join [host:port]")
    .description("make this machine a node of the cluster whose REST API is at host:port")
    .option("--token <token>", "a bootstrap token of the cluster")
    .option(
      "--discovery-token-ca-cert-hash <hash>",
      "sha256:… of the public key of the cluster's CA; may be repeated",
      repeated,
      [],
    )
    .option(
      "--discovery-token-unsafe-skip-ca-verification",
      "believe the CA that the token has signed, without a hash",
    )
    .option("--node-name <name>", "name of the node; default: that of this machine")
    .option("--node-ip <address>", "its address; default: the one that reaches the cluster")
    .option("--data-dir <directory>", "state of this node", directory, directory(".trireme-node"))
    .option("--kubelet-port <port>", "where the kubelet serves", whole, 10_250)
    .option("--peer-port <port>", "UDP port by which kube-proxies of a machine meet", whole, 10_256)
    .addHelpText("after", "\nWithout host:port: start a node again that has joined before.")
    .action(async (server: string | undefined, flags: JoinFlags) => {
      await (await import("./commands/join.ts")).join(server, flags);
    });
}

function repeated(text: string, previous: string[]): string[] {
  return [...previous, text];
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
