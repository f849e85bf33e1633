/** From what the user names as a target to all that is needed to reach it. */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { kubernetesAccess } from "../../client/rest/kubeconfig.ts";
import type { LoadTls } from "../client/mod.ts";
import type { ProtocolName, TargetAddress } from "./target.ts";

/** What `endpoints.json` of a running cluster says. */
interface LocalCluster {
  readonly grpcEndpoints: readonly string[];
  readonly etcdEndpoints: readonly string[];
  readonly httpsEndpoints: readonly string[];
  readonly masters: readonly {
    readonly grpc: string;
    readonly etcd: string;
    readonly https: string;
  }[];
  readonly ca: string;
  readonly clientCert: string;
  readonly clientKey: string;
}

export interface TargetFlags {
  /** Of a running cluster. */
  readonly dataDirectory: string;
  readonly kubeconfig?: string | undefined;
  /** PEM files, for targets that are neither of the running cluster nor in a kubeconfig. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

const ownNames: Readonly<Record<string, ProtocolName>> = {
  ...{ grpc: "grpc", rest: "https", https: "https", etcd: "etcd" },
};
const forms = "grpc://HOST:PORT, https://HOST:PORT, etcd://HOST:PORT, or grpc, rest, etcd";

/** Throws an Error that names the target and what is wrong with it. */
export function resolveTarget(text: string, flags: TargetFlags): TargetAddress {
  const own = Object.hasOwn(ownNames, text) ? ownNames[text] : undefined;
  if (own !== undefined) {
    const cluster = readCluster(flags.dataDirectory);
    const addresses = addressesOf(cluster, own)[0] ?? [];
    const tls = ownTls(cluster);
    return { protocol: own, url: `${own}://${addresses.join(",")}`, addresses, tls };
  }
  const [, scheme = "", rest = ""] = /^([a-z]+):\/\/(.+)$/.exec(text) ?? [];
  if (scheme === "http") {
    throw new Error(`target ${text}: plain HTTP has no HTTP/2; use https`);
  }
  if (scheme !== "grpc" && scheme !== "https" && scheme !== "etcd") {
    throw new Error(`target "${text}" is none of ${forms}`);
  }
  return reach(text, scheme, rest, flags);
}

function reach(
  text: string,
  protocol: ProtocolName,
  rest: string,
  flags: TargetFlags,
): TargetAddress {
  const [hosts = "", ...path] = rest.split("/");
  const pathPrefix = path.join("/") === "" ? undefined : `/${path.join("/").replace(/\/$/, "")}`;
  if (pathPrefix !== undefined && protocol !== "https") {
    throw new Error(`target ${text}: a path has a meaning for https alone`);
  }
  const addresses = hosts.split(",").map((each) => addressOf(text, protocol, each));
  const base = { protocol, url: text, addresses, pathPrefix };
  const local = existsSync(endpointsFile(flags.dataDirectory))
    ? readCluster(flags.dataDirectory)
    : undefined;
  if (local !== undefined) {
    const known = addressesOf(local, protocol).flat();
    if (addresses.every((each) => known.includes(each))) return { ...base, tls: ownTls(local) };
  }
  const given = givenTls(flags);
  if (given !== undefined) return { ...base, tls: given };
  if (protocol !== "https") return base;
  const file =
    flags.kubeconfig ?? process.env["KUBECONFIG"]?.split(":")[0] ?? join(homedir(), ".kube/config");
  const { tls, token } = kubernetesAccess(file, new URL(`https://${addresses[0]}`));
  return { ...base, tls, token };
}

const defaultPorts: Readonly<Record<ProtocolName, number>> = { grpc: 7443, https: 443, etcd: 2379 };

function addressOf(text: string, protocol: ProtocolName, host: string): string {
  const url = `https://${host}`;
  const { hostname, port, username } = URL.canParse(url) ? new URL(url) : new URL("https://-/");
  if (hostname === "-" || username !== "") {
    throw new Error(`target ${text}: "${host}" is no HOST:PORT`);
  }
  return `${hostname}:${port || (/:443$/.test(host) ? 443 : defaultPorts[protocol])}`;
}

function endpointsFile(dataDirectory: string): string {
  return join(dataDirectory, "endpoints.json");
}

function readCluster(dataDirectory: string): LocalCluster {
  try {
    return JSON.parse(readFileSync(endpointsFile(dataDirectory), "utf8")) as LocalCluster;
  } catch (error) {
    throw new Error(
      `no running cluster: ${(error as Error).message}; run npm start, name its directory with ` +
        "--data-dir, or another --target",
    );
  }
}

/** Those of the balancers, and those of the masters. */
function addressesOf(cluster: LocalCluster, protocol: ProtocolName) {
  const { grpcEndpoints, httpsEndpoints, etcdEndpoints, masters } = cluster;
  const ofBalancers = { grpc: grpcEndpoints, https: httpsEndpoints, etcd: etcdEndpoints };
  return [ofBalancers[protocol], masters.map((master) => master[protocol])] as const;
}

function ownTls(cluster: LocalCluster): LoadTls {
  const { ca, clientCert, clientKey } = cluster;
  return { ca: pem("ca", ca), cert: pem("cert", clientCert), key: pem("key", clientKey) };
}

function givenTls({ ca, cert, key }: TargetFlags): LoadTls | undefined {
  if (ca === undefined && cert === undefined && key === undefined) return undefined;
  if ((cert === undefined) !== (key === undefined)) throw new Error("--cert and --key go together");
  const text = (flag: string, file: string | undefined) =>
    file === undefined ? undefined : pem(flag, file);
  return { ca: text("ca", ca), cert: text("cert", cert), key: text("key", key) };
}

function pem(flag: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(`--${flag}: cannot read ${file}: ${(error as Error).message}`);
  }
}
