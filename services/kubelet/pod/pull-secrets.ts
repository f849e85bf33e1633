/**
 * What a registry is shown for a pod's image: the entries of its imagePullSecrets that fit the
 * image, the one with the longest place first, as upstream's keyring has them.
 */
import type { Pod, Secret } from "../../../proto/gen/core.ts";
import { fullReference } from "../runtime/image-reference.ts";
import type { RegistryCredentials } from "../runtime/types.ts";
import type { ConfigSource } from "./environment.ts";

const dockerHub = "index.docker.io";

/** `missing`: names of secrets that are not there or cannot be read, for an event. */
export interface PullSecrets {
  readonly credentials: readonly RegistryCredentials[];
  readonly missing: readonly string[];
}

/** Throws what the source throws. */
export async function pullSecrets(
  pod: Pod,
  image: string,
  source: Pick<ConfigSource, "secret">,
): Promise<PullSecrets> {
  const missing: string[] = [];
  const entries: RegistryEntry[] = [];
  for (const { name = "" } of pod.spec?.imagePullSecrets ?? []) {
    const secret = await source.secret(pod.metadata?.namespace ?? "", name);
    const found = secret === undefined ? undefined : entriesOf(secret);
    if (found === undefined) missing.push(name);
    else entries.push(...found);
  }
  const full = fullReference(image);
  const credentials = entries
    .filter(({ place }) => fits(place, full))
    .sort((a, b) => b.place.length - a.place.length)
    .map((entry) => entry.credentials);
  return { credentials, missing };
}

interface RegistryEntry {
  /** host[:port][/path], of whose host a part may be a pattern. */
  readonly place: string;
  readonly credentials: RegistryCredentials;
}

interface DockerEntry {
  readonly username?: unknown;
  readonly password?: unknown;
  readonly auth?: unknown;
  readonly identitytoken?: unknown;
  readonly registrytoken?: unknown;
}

/** Undefined: it has no configuration of registries. */
function entriesOf({ data = {} }: Secret): readonly RegistryEntry[] | undefined {
  const whole = documentOf(data[".dockerconfigjson"]);
  const auths = whole === undefined ? documentOf(data[".dockercfg"]) : whole["auths"];
  if (typeof auths !== "object" || auths === null) return undefined;
  return Object.entries(auths as Record<string, unknown>).flatMap(([key, value]) => {
    if (typeof value !== "object" || value === null) return [];
    const place = key.replace(/^https?:\/\//, "").replace(/\/(?:v[12]\/?)?$/, "");
    return [{ place, credentials: credentialsOf(key, value) }];
  });
}

function documentOf(encoded: string | undefined): Record<string, unknown> | undefined {
  if (encoded === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(encoded, "base64").toString("utf8"));
    return typeof value === "object" && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined; // told as a secret that cannot be used
  }
}

/** `auth` is user and password in one, and counts where they are not given by themselves. */
function credentialsOf(serverAddress: string, entry: DockerEntry): RegistryCredentials {
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  const both = Buffer.from(text(entry.auth), "base64").toString("utf8");
  const colon = both.indexOf(":");
  return {
    serverAddress,
    username: text(entry.username) || both.slice(0, Math.max(0, colon)),
    password: text(entry.password) || (colon < 0 ? "" : both.slice(colon + 1)),
    identityToken: text(entry.identitytoken) || undefined,
    registryToken: text(entry.registrytoken) || undefined,
  };
}

function fits(place: string, full: string): boolean {
  const [host = "", ...path] = place.split("/");
  const [imageHost = "", ...imagePath] = full.split("/");
  if (!hostFits(canonical(host), canonical(imageHost))) return false;
  return path.length === 0 || imagePath.join("/").startsWith(path.join("/"));
}

function canonical(host: string): string {
  return host === "docker.io" || host === "registry-1.docker.io" ? dockerHub : host;
}

/** Ports are equal; a `*` in the pattern stands for anything within one part of the name. */
function hostFits(pattern: string, host: string): boolean {
  const [name = "", port = ""] = pattern.split(":");
  const [hostName = "", hostPort = ""] = host.split(":");
  const parts = name.split(".");
  const hostParts = hostName.split(".");
  if (port !== hostPort || parts.length !== hostParts.length) return false;
  return parts.every((part, index) => partFits(part, hostParts[index] ?? ""));
}

function partFits(pattern: string, part: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  if (rest.length === 0) return pattern === part;
  const last = rest.pop() ?? "";
  if (part.length < first.length + last.length) return false;
  if (!part.startsWith(first) || !part.endsWith(last)) return false;
  let at = first.length;
  for (const middle of rest) {
    const found = part.indexOf(middle, at);
    if (found < 0 || found + middle.length > part.length - last.length) return false;
    at = found + middle.length;
  }
  return true;
}
