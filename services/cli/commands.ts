/** What people type: verbs, their flags, and how a failure ends. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Command, CommanderError } from "commander";
import type { BackupFlags } from "./commands/backup.ts";
import type { CertsFlags } from "./commands/certs.ts";
import type { ExplainFlags } from "./commands/explain.ts";
import type { KubeconfigFlags } from "./commands/kubeconfig.ts";
import type { DeleteFlags, GetFlags, ScopeFlags } from "./commands/objects.ts";
import type { ProtosFlags } from "./commands/protos.ts";
import type { RestoreFlags } from "./commands/restore.ts";
import type { StatusFlags } from "./commands/status.ts";
import type { UpFlags } from "./commands/up.ts";
import { defineJoin } from "./define-join.ts";
import { defineObserve } from "./define-observe.ts";
import { defineStreams } from "./define-streams.ts";
import { defineTokens } from "./define-tokens.ts";
import { complain, errorText } from "./output.ts";
import {
  type Connected,
  connected,
  directory,
  objectVerb,
  verb,
  whole,
  withClient,
  yesOrNo,
} from "./verbs.ts";

type ApplyFlags = Connected<ScopeFlags & { readonly filename: readonly string[] }>;

/** What a command needs is loaded when it is called: most of a short command's time is loading. */
const objects = () => import("./commands/objects.ts");

export async function runCommand(
  args: readonly string[],
  components: readonly string[],
): Promise<void> {
  const program = define(components);
  try {
    await program.parseAsync(args as string[], { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has printed its message; help is no failure.
      process.exitCode = error.exitCode === 0 ? 0 : 2;
      return;
    }
    complain(errorText(error));
    process.exitCode = 1;
  }
}

function define(components: readonly string[]): Command {
  const program = new Command("trireme")
    .description("The Kubernetes architecture as a gRPC microservice cluster.")
    .version(version(), "--version", "print the version")
    .exitOverride()
    .addHelpText("after", `\nComponents (each with --help): ${components.join(", ")}`);
  defineCluster(program);
  defineObjects(program);
  defineStreams(program);
  defineTokens(program);
  defineJoin(program);
  defineObserve(program);
  return program;
}

/** Of the package that this file belongs to. */
function version(): string {
  const file = join(dirname(dirname(import.meta.dirname)), "package.json");
  return (JSON.parse(readFileSync(file, "utf8")) as { readonly version: string }).version;
}

function defineCluster(program: Command): void {
  verb(program, "up", "start a local cluster and supervise it")
    .option("--base-port <port>", "first of the ports used (default 7443)", whole)
    .option(
      "--masters <count>",
      "replicated apiservers, each with its store member (default 3)",
      whole,
    )
    .option("--nodes <count>", "nodes, each a kubelet and a kube-proxy (default 3)", whole)
    .option(
      "--hollow <count>",
      "nodes beside them whose pods take time and nothing else, all in one process (default 0)",
      whole,
    )
    .option(
      "--hollow-stages <file>",
      'how long pods of hollow nodes take, and how they end (kept; "": at once, until deleted)',
    )
    .option(
      "--node-capacity <amounts>",
      "cpu=4,memory=8Gi: what each node claims (default: an equal share of the machine)",
    )
    .option(
      "--image-root <directory>",
      'OCI image layouts of which the nodes make containers (kept; "": images are names alone)',
    )
    .option(
      "--image-map <name=command>",
      "an image that stands for a program of this machine (kept); may be repeated",
      repeated,
      [],
    )
    .option(
      "--audit-policy-file <file>",
      'policy of the audit logs, which the masters keep among their logs (kept; "": none)',
    )
    .option(
      "--encryption-provider-config <file>",
      'what the masters store encrypted, and with which keys (kept; "": nothing)',
    )
    .option("--detach", "return when all is ready; `down` stops it")
    .option("--enable-faults", "administrators may set faults into the masters, for drills")
    .option(
      "--otlp-endpoint <url>",
      "OpenTelemetry collector (OTLP over HTTP) to which all processes export traces",
    )
    .option(
      "--trace-sample <share>",
      "0 to 1: how many requests without a traceparent are traced (default 0)",
    )
    .option("--bridge <boolean>", "the live page on loopback", yesOrNo, true)
    .option("--ingress <boolean>", "an ingress controller (kept; default false)", yesOrNo)
    .option("--node-return-seconds <seconds>", "how long a killed node stays away", whole, 60)
    .action(async (flags: UpFlags) => await (await import("./commands/up.ts")).up(flags));
  verb(program, "down", "stop the local cluster; its state is kept").action(
    async (flags: { dataDir: string }) => await (await import("./commands/down.ts")).down(flags),
  );
  connected(verb(program, "status", "show masters, processes and objects"))
    .option("--json", "as JSON")
    .action(async (flags: StatusFlags) => {
      await (await import("./commands/status.ts")).status(flags);
    });
  defineCerts(program);
  defineKubeconfig(program);
  defineProtos(program);
  defineBackups(program);
}

const peerIdHelp = `
The data of each member is made in <data-dir>/<name>, which must be absent or empty: what is there
is never replaced. Restore beside the original data, and start the masters with the new directory.

A peer id is the public key by which members know each other. Each master's comes from its key:
  trireme certs --dir PKI --peers host:port,…   makes the keys and prints name=host:port/peerid
                                                of each, as --masters wants it
  trireme certs --dir PKI --peers …             prints the same again: keys that exist are kept
A running master has its own in its --initial-cluster flag.`;

function defineBackups(program: Command): void {
  connected(verb(program, "backup", "write the store as of one revision to a file"))
    .requiredOption("--out <file>", "the file to make", directory)
    .option("--incremental", "only what came after the revision of --base")
    .option("--base <file>", "an earlier backup", directory)
    .option("--member <host:port>", "the master to ask")
    .option("--force", "replace the file when it exists")
    .action(async (flags: BackupFlags) => {
      await (await import("./commands/backup.ts")).backup(flags);
    });
  program
    .command("restore [files...]")
    .description("make the data of a new cluster from a backup and incremental ones upon it")
    .requiredOption(
      "--data-dir <directory>",
      "where the members' data directories are made",
      directory,
    )
    .requiredOption("--masters <members>", "name=host:port/peerid of each, separated by commas")
    .addHelpText("after", peerIdHelp)
    .option("--name <name>", "make the data of this member only")
    .option(
      "--from-member <directory>",
      "instead of backups: the data directory of the member that is left after a loss of quorum",
      directory,
    )
    .option("--bump-revision <count>", "how far revisions jump (default 1000000000)", whole)
    .option("--cluster-token <text>", "tells apart what is restored twice for the same members", "")
    .action(async (paths: string[], flags: RestoreFlags) => {
      await (await import("./commands/restore.ts")).restore(paths.map(directory), flags);
    });
  program
    .command("check <path>")
    .description("verify a member's data directory or a backup file; changes nothing")
    .action(async (path: string) => {
      await (await import("./commands/check.ts")).check(directory(path));
    });
}

function several(text: string, previous: string[] = []): string[] {
  return [...previous, ...text.split(",")];
}

function defineObjects(program: Command): void {
  objectVerb(program, "apply", "create objects, or bring them to what their manifest says")
    .requiredOption("-f, --filename <file>", "manifest, folder, or - for standard input", files, [])
    .action(
      withClient(
        async (client, flags: ApplyFlags) =>
          await (await objects()).apply(client, flags.filename, flags),
      ),
    );
  objectVerb(program, "get <resource> [names...]", "show objects")
    .option("-A, --all-namespaces", "of all namespaces")
    .option("-o, --output <format>", "wide, yaml, json or name")
    .option("-l, --selector <selector>", "label selector")
    .option("--field-selector <selector>", "field selector")
    .option("-w, --watch", "go on with changes")
    .action(
      withClient(async (client, flags: Connected<GetFlags>, word: string, names: string[]) => {
        await (await objects()).get(client, word, names, flags);
      }),
    );
  objectVerb(program, "explain <resource> <name>", "why a pod runs where it does, or nowhere")
    .option("-o, --output <format>", "json")
    .action(
      withClient(
        async (client, flags: Connected<ExplainFlags>, word: string, name: string) =>
          await (await import("./commands/explain.ts")).explain(client, word, name, flags),
      ),
    );
  objectVerb(program, "delete [resource] [names...]", "delete objects")
    .option("-f, --filename <file>", "what a manifest names", files)
    .option("-l, --selector <selector>", "label selector")
    .option("--grace-period <seconds>", "for pods; 0: at once", whole)
    .option("--no-wait", "do not wait until they are gone")
    .option("--ignore-not-found", "what is not there is no error")
    .action(
      withClient(
        async (
          client,
          flags: Connected<DeleteFlags>,
          word: string | undefined,
          names: string[],
        ) => {
          await (await objects()).remove(
            client,
            word === undefined ? names : [word, ...names],
            flags,
          );
        },
      ),
    );
}

function files(text: string, previous: string[] = []): string[] {
  const absolute = (file: string) => (file === "-" ? file : directory(file));
  return [...previous, ...several(text).map(absolute)];
}

function defineCerts(program: Command): void {
  program
    .command("certs")
    .description("issue the credentials of a cluster: a CA, certificates, the masters' peer keys")
    .requiredOption("--dir <directory>", "where they are kept; what is there is kept", directory)
    .option("--masters <names>", "names of the masters", "master-0,master-1,master-2")
    .option("--nodes <names>", "names of the nodes", "node-0,node-1,node-2")
    .option("--hosts <hosts>", "DNS names and addresses of all servers", "127.0.0.1,localhost")
    .option("--service-cluster-ip-range <cidr>", "of the apiservers' flag", "127.32.0.0/12")
    .option("--peers <host:port,…>", "the masters' peer addresses: prints their --initial-cluster")
    .option("--days <days>", "how long certificates are valid", whole, 365)
    .action(async (flags: CertsFlags) => {
      await (await import("./commands/certs.ts")).certs(flags);
    });
}

function defineKubeconfig(program: Command): void {
  verb(program, "kubeconfig", "write a kubeconfig for a user of the local cluster")
    .requiredOption("--user <name>", "the user's name")
    .option("--group <name>", "a group of the user; may be repeated", repeated, [])
    .option("--out <file>", "where it is written; default: to the output", directory)
    .option("--server <url>", "the API's https:// URL; default: that of the running cluster")
    .option("--days <days>", "how long the certificate is valid", whole, 365)
    .action(async (flags: KubeconfigFlags) => {
      await (await import("./commands/kubeconfig.ts")).kubeconfig(flags);
    });
}

function repeated(text: string, previous: string[]): string[] {
  return [...previous, text];
}

function defineProtos(program: Command): void {
  program
    .command("protos")
    .description("write the public contracts as a tree for generators of other languages")
    .requiredOption("--out <folder>", "where; an empty folder, or one to be made", directory)
    .option("--force", "replace what an earlier tree has left there")
    .option("--go-prefix <path>", "beginning of the Go packages' paths (default trireme.io/api)")
    .action(async (flags: ProtosFlags) => {
      await (await import("./commands/protos.ts")).protos(flags);
    });
}
