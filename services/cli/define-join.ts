/** The verb by which a machine joins a cluster. */
import type { Command } from "commander";
import type { JoinFlags } from "./commands/join.ts";
import { directory, whole } from "./verbs.ts";

export function defineJoin(program: Command): void {
  program
    .command("join [host:port]")
    .description("make this machine a part of the cluster whose REST API is at host:port")
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
    .option("--node-name <name>", "its name; default: that of this machine")
    .option(
      "--node-ip <address>",
      "its address, or of a node one of each family, with a comma between; default: the one that " +
        "reaches the cluster",
    )
    .option("--data-dir <directory>", "its state", directory, directory(".trireme-node"))
    .option("--kubelet-port <port>", "of a node: where the kubelet serves", whole, 10_250)
    .option(
      "--proxy-peer-port <port>",
      "of a node: UDP port by which the kube-proxies of a machine meet",
      whole,
      10_256,
    )
    .option(
      "--proxy-mode <mode>",
      "of a node: userspace (default), nftables, or auto; see `trireme kube-proxy --help`",
    )
    .option(
      "--container-runtime-endpoint <socket>",
      "of a node: unix:///… of a CRI runtime; default: pods are processes of this machine",
    )
    .option(
      "--image-root <directory>",
      "of a node with a CRI runtime: OCI image layouts that are asked before registries",
      directory,
    )
    .option("--control-plane", "join as a master: a replica of the store that serves the API")
    .option("--certificate-key <key>", "opens the secrets that a master needs")
    .option("--grpc-port <port>", "of a master: port of the gRPC API", whole, 7_453)
    .option("--https-port <port>", "of a master: port of the REST API", whole, 6_453)
    .option("--etcd-port <port>", "of a master: port of etcd clients", whole, 7_473)
    .option("--store-port <port>", "of a master: port of the other replicas", whole, 7_463)
    .option(
      "--apiserver-arg <flag>",
      "of a master: --name=value for its apiserver, e.g. of a file; may be repeated",
      repeated,
      [],
    )
    .addHelpText("after", "\nWithout host:port: start again what has joined before.")
    .action(async (server: string | undefined, flags: JoinFlags) => {
      await (await import("./commands/join.ts")).join(server, flags);
    });
}

function repeated(text: string, previous: string[]): string[] {
  return [...previous, text];
}
