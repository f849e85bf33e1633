/** `trireme token`: bootstrap tokens, with which machines join, as kubeadm words them. */
import { randomInt } from "node:crypto";
import { parse } from "yaml";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Secret } from "../../../proto/gen/core.ts";
import type { TriremeClient } from "../../client/mod.ts";
import { parseTime, rfc3339Seconds } from "../../kinds/mod.ts";
import { publicKeyPin } from "../join/discovery.ts";
import { uploadSecrets } from "../join/secrets.ts";
import { directories } from "../layout.ts";
import { print, table } from "../output.ts";

export interface TokenFlags {
  readonly ttl: number;
  readonly usages: readonly string[];
  readonly groups: readonly string[];
  readonly description?: string;
  /** The line with which a machine joins, in place of the token alone. */
  readonly printJoinCommand?: boolean;
  /** That line makes a master. */
  readonly controlPlane?: boolean;
  /** The cluster's own, below which its secrets are. */
  readonly dataDir: string;
}

const namespace = "kube-system";
const secretType = "bootstrap.kubernetes.io/token";
const namePrefix = "bootstrap-token-";
const tokenForm = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const idForm = /^[a-z0-9]{6}$/;
const groupForm = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;
const usages = ["authentication", "signing"] as const;
const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789";

/** Prints the token. Throws a StatusError naming what is wrong with the arguments. */
export async function createToken(
  client: TriremeClient,
  given: string | undefined,
  flags: TokenFlags,
): Promise<void> {
  const [, id = "", proof = ""] = tokenForm.exec(given ?? generated()) ?? [];
  if (id === "") {
    throw refused(`token "${given}": must be six and sixteen of a-z and 0-9, joined by a dot`);
  }
  const group = flags.groups.find((each) => !groupForm.test(each));
  if (group !== undefined) throw refused(`--groups ${group}: must begin system:bootstrappers:`);
  const usage = flags.usages.find((each) => !usages.some((one) => one === each));
  if (usage !== undefined) throw refused(`--usages ${usage}: must be ${usages.join(" or ")}`);
  const stringData: Record<string, string> = {
    "token-id": id,
    "token-secret": proof,
    ...Object.fromEntries(flags.usages.map((each) => [`usage-bootstrap-${each}`, "true"])),
    ...(flags.groups.length > 0 && { "auth-extra-groups": flags.groups.join(",") }),
    ...(flags.ttl > 0 && { expiration: rfc3339Seconds(Date.now() + 1000 * flags.ttl) }),
    ...(flags.description !== undefined && { description: flags.description }),
  };
  const { printJoinCommand = false, controlPlane = false } = flags;
  if (controlPlane && !printJoinCommand) {
    throw refused("--control-plane goes with --print-join-command");
  }
  const metadata = { name: namePrefix + id, namespace };
  await client.secrets.create({ metadata, type: secretType, stringData });
  const token = `${id}.${proof}`;
  if (!printJoinCommand) return print(token);
  const line = await joinCommand(client, token);
  if (!controlPlane) return print(line);
  const key = await uploadSecrets(client, directories(flags.dataDir).pki);
  print(`${line} --control-plane --certificate-key ${key}`);
}

async function joinCommand(client: TriremeClient, token: string): Promise<string> {
  const { data } = await client.configMaps.get("cluster-info", "kube-public");
  const config = parse(data?.["kubeconfig"] ?? "") as {
    readonly clusters?: readonly {
      readonly cluster?: { readonly server?: string; "certificate-authority-data"?: string };
    }[];
  } | null;
  const { server = "", "certificate-authority-data": ca = "" } =
    config?.clusters?.[0]?.cluster ?? {};
  const pin = publicKeyPin(Buffer.from(ca, "base64").toString("latin1"));
  const { host } = new URL(server);
  return `trireme join ${host} --token ${token} --discovery-token-ca-cert-hash ${pin}`;
}

export async function listTokens(client: TriremeClient): Promise<void> {
  const { items } = await client.secrets.list({
    namespace,
    fieldSelector: `type=${secretType}`,
  });
  const rows = items.map((secret) => {
    const field = (key: string) => fieldOf(secret, key);
    const expires = field("expiration");
    const names = usages.filter((each) => field(`usage-bootstrap-${each}`) === "true");
    return [
      `${field("token-id")}.${field("token-secret")}`,
      left(expires),
      expires || "<never>",
      names.join(",") || "<none>",
      field("description") || "<none>",
      field("auth-extra-groups") || "<none>",
    ];
  });
  print(table([["TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"], ...rows]));
}

/** Each is a token, or its first part. */
export async function deleteTokens(
  client: TriremeClient,
  tokens: readonly string[],
): Promise<void> {
  for (const token of tokens) {
    const id = tokenForm.exec(token)?.[1] ?? token;
    if (!idForm.test(id))
      throw refused(`"${token}" is neither a token nor its first six characters`);
    await client.secrets.delete(namePrefix + id, namespace);
    print(`bootstrap token "${id}" deleted`);
  }
}

function generated(): string {
  const text = (length: number) =>
    Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join("");
  return `${text(6)}.${text(16)}`;
}

function fieldOf(secret: Secret, key: string): string {
  return Buffer.from(secret.data?.[key] ?? "", "base64").toString("utf8");
}

function left(expires: string): string {
  const end = expires === "" ? undefined : parseTime(expires);
  if (end === undefined) return expires === "" ? "<forever>" : "<invalid>";
  const seconds = Math.floor((end - Date.now()) / 1000);
  if (seconds <= 0) return "<expired>";
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes}m` : `${Math.floor(minutes / 60)}h`;
}

function refused(message: string): StatusError {
  return new StatusError(Code.invalidArgument, message);
}
