/** Certificates and tokens for a Kubernetes apiserver, from a kubeconfig file. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse } from "yaml";
import type { ServerTls } from "../../../ha/http2/client/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";

interface Named {
  readonly name?: string;
  readonly [key: string]: unknown;
}

interface Cluster {
  readonly server?: string;
  readonly "certificate-authority"?: string;
  readonly "certificate-authority-data"?: string;
  readonly "insecure-skip-tls-verify"?: boolean;
  readonly "tls-server-name"?: string;
}

interface User {
  readonly "client-certificate"?: string;
  readonly "client-certificate-data"?: string;
  readonly "client-key"?: string;
  readonly "client-key-data"?: string;
  readonly token?: string;
  readonly tokenFile?: string;
}

interface Context {
  readonly cluster?: string;
  readonly user?: string;
}

interface Kubeconfig {
  readonly clusters?: readonly Named[];
  readonly users?: readonly Named[];
  readonly contexts?: readonly Named[];
  readonly "current-context"?: string;
}

export interface KubernetesAccess {
  /** URL of the server. */
  readonly server: string;
  readonly tls: ServerTls;
  readonly token: string | undefined;
  /** Where the token comes from, and is written anew; absent: it stays as it is. */
  readonly tokenFile: string | undefined;
}

/**
 * How the file reaches the server of that URL: by its current context where that leads there,
 * otherwise by the first context that does. Without a URL: where the current context leads. Throws
 * a StatusError that says what the file lacks.
 */
export function kubernetesAccess(file: string, url?: URL): KubernetesAccess {
  const config = read(file);
  if (url === undefined) return currentAccess(file, config);
  const contexts = [...(config.contexts ?? [])].sort(
    (a, b) => rank(b, config["current-context"]) - rank(a, config["current-context"]),
  );
  const servers = new Set<string>();
  for (const each of contexts) {
    const context = each["context"] as Context | undefined;
    const cluster = find<Cluster>(config.clusters, "cluster", context?.cluster);
    const server = cluster?.server ?? "";
    servers.add(server);
    if (!URL.canParse(server) || new URL(server).origin !== url.origin) continue;
    const user = find<User>(config.users, "user", context?.user) ?? {};
    return access(file, cluster ?? {}, context?.user ?? "", user);
  }
  const known = [...servers].join(", ") || "none";
  throw invalid(`${file} has no context for ${url.origin}; it knows ${known}`);
}

function currentAccess(file: string, config: Kubeconfig): KubernetesAccess {
  const current = config["current-context"] ?? "";
  const context = find<Context>(config.contexts, "context", current);
  if (context === undefined) {
    throw invalid(`${file}: current-context: there is no context "${current}"`);
  }
  const cluster = find<Cluster>(config.clusters, "cluster", context.cluster);
  if (cluster?.server === undefined) {
    throw invalid(`${file}: context "${current}": cluster "${context.cluster}" has no server`);
  }
  const user = find<User>(config.users, "user", context.user) ?? {};
  return access(file, cluster, context.user ?? "", user);
}

function invalid(text: string): StatusError {
  return new StatusError(Code.invalidArgument, text);
}

function rank(context: Named, current: string | undefined): number {
  return context.name === current ? 1 : 0;
}

function read(file: string): Kubeconfig {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw invalid(`cannot read the kubeconfig ${file}: ${(error as Error).message}`);
  }
  try {
    return (parse(text) ?? {}) as Kubeconfig;
  } catch (error) {
    throw invalid(`the kubeconfig ${file} is no YAML: ${(error as Error).message}`);
  }
}

function find<T>(
  list: readonly Named[] | undefined,
  key: string,
  name: string | undefined,
): T | undefined {
  return list?.find((each) => each.name === name)?.[key] as T | undefined;
}

function access(file: string, cluster: Cluster, name: string, user: User): KubernetesAccess {
  if ("exec" in user || "auth-provider" in user) {
    throw invalid(
      `${file}: user "${name}" logs in by a plugin, which is not run here; give the user a ` +
        "certificate or a token (kubectl create token)",
    );
  }
  const text = (data: string | undefined, path: string | undefined) => {
    if (data !== undefined) return Buffer.from(data, "base64").toString();
    return path === undefined ? undefined : readBeside(file, path);
  };
  const { tokenFile } = user;
  const tls = {
    ca: text(cluster["certificate-authority-data"], cluster["certificate-authority"]),
    cert: text(user["client-certificate-data"], user["client-certificate"]),
    key: text(user["client-key-data"], user["client-key"]),
    serverName: cluster["tls-server-name"],
    unverified: cluster["insecure-skip-tls-verify"],
  };
  return {
    ...{ server: cluster.server ?? "", tls },
    token: user.token ?? text(undefined, tokenFile)?.trim(),
    tokenFile:
      user.token === undefined && tokenFile !== undefined
        ? resolve(dirname(file), tokenFile)
        : undefined,
  };
}

function readBeside(file: string, path: string): string {
  try {
    return readFileSync(resolve(dirname(file), path), "utf8");
  } catch (error) {
    throw invalid(`${file}: ${path}: ${(error as Error).message}`);
  }
}
