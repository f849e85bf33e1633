/** A pod's names: hostname, /etc/hosts and resolv.conf, with upstream's rules (KEP-1797). */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname as machineHostname } from "node:os";
import { dirname } from "node:path";
import type { Pod } from "../../../proto/gen/core.ts";
import type { DnsConfig } from "../runtime/types.ts";

export interface ClusterDns {
  /** Addresses of the cluster's DNS servers; empty: there are none. */
  readonly servers: readonly string[];
  /** e.g. cluster.local */
  readonly domain: string;
}

const hostnameLengthMax = 63;

/** hostname.subdomain.namespace.svc.domain; undefined: the pod has no subdomain. */
export function fullName(pod: Pod, domain: string): string | undefined {
  const { metadata, spec } = pod;
  if (!spec?.subdomain) return undefined;
  return `${shortName(pod)}.${spec.subdomain}.${metadata?.namespace}.svc.${domain}`;
}

function shortName(pod: Pod): string {
  const name = pod.spec?.hostname || pod.metadata?.name || "";
  // A label of a name is at most 63 characters, and does not end with a separator.
  return name.slice(0, hostnameLengthMax).replace(/[-.]+$/, "");
}

/** What gethostname(2) and HOSTNAME say in the pod. */
export function podHostname(pod: Pod, domain: string): string {
  if (pod.spec?.hostNetwork) return machineHostname();
  const full = fullName(pod, domain);
  return pod.spec?.setHostnameAsFQDN && full !== undefined ? full : shortName(pod);
}

/** Undefined: the pod uses the node's resolv.conf. */
export function dnsOf(pod: Pod, cluster: ClusterDns, nodeFile: string): DnsConfig | undefined {
  const { dnsPolicy = "ClusterFirst", dnsConfig, hostNetwork } = pod.spec ?? {};
  const inCluster =
    cluster.servers.length > 0 &&
    (dnsPolicy === "ClusterFirstWithHostNet" || (dnsPolicy === "ClusterFirst" && !hostNetwork));
  if (!inCluster && dnsPolicy !== "None" && dnsConfig === undefined) return undefined;
  const node = dnsPolicy === "None" ? empty : parseResolvConf(readOrEmpty(nodeFile));
  const { namespace } = pod.metadata ?? {};
  const { domain } = cluster;
  const base = inCluster
    ? {
        servers: cluster.servers,
        searches: [`${namespace}.svc.${domain}`, `svc.${domain}`, domain, ...node.searches],
        options: ["ndots:5"],
      }
    : node;
  const own = (dnsConfig?.options ?? []).map(({ name = "", value }) =>
    value === undefined || value === "" ? name : `${name}:${value}`,
  );
  const overridden = new Set(own.map(optionName));
  return {
    servers: unique([...base.servers, ...(dnsConfig?.nameservers ?? [])]),
    searches: unique([...base.searches, ...(dnsConfig?.searches ?? [])]),
    options: [...base.options.filter((one) => !overridden.has(optionName(one))), ...own],
  };
}

/** Of a resolver's file, as upstream keeps them: servers, search paths, and their characters. */
const dnsLimits = { servers: 3, searches: 32, searchCharacters: 2_048 } as const;

/** What is beyond the limits is left out, and told in upstream's words. */
export function withinLimits(dns: DnsConfig, tell: (problem: string) => void): DnsConfig {
  const servers = dns.servers.slice(0, dnsLimits.servers);
  if (servers.length < dns.servers.length) {
    tell(
      "Nameserver limits were exceeded, some nameservers have been omitted, " +
        `the applied nameserver line is: ${servers.join(" ")}`,
    );
  }
  const searches = dns.searches.slice(0, dnsLimits.searches);
  while (searches.join(" ").length > dnsLimits.searchCharacters) searches.pop();
  if (searches.length < dns.searches.length) {
    tell(
      "Search Line limits were exceeded, some search paths have been omitted, " +
        `the applied search line is: ${searches.join(" ")}`,
    );
  }
  return { ...dns, servers, searches };
}

const empty: DnsConfig = { servers: [], searches: [], options: [] };

function optionName(option: string): string {
  return option.split(":", 1).join("");
}

function unique(list: readonly string[]): readonly string[] {
  return [...new Set(list)];
}

function parseResolvConf(text: string): DnsConfig {
  const servers: string[] = [];
  let searches: string[] = [];
  let options: string[] = [];
  for (const line of text.split("\n")) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === "nameserver") servers.push(...rest.slice(0, 1));
    if (word === "search" || word === "domain") searches = rest;
    if (word === "options") options = rest;
  }
  return { servers, searches, options };
}

/** The names that every machine has. */
const commonHosts = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::0\tip6-localnet",
  "fe00::0\tip6-mcastprefix",
  "fe00::1\tip6-allnodes",
  "fe00::2\tip6-allrouters",
];

/**
 * Writes the pod's hosts file as upstream's kubelet does: the pod's own names at each of its
 * addresses, or those of the machine whose network it is on, and its aliases.
 */
export function writeHosts(
  path: string,
  pod: Pod,
  podIPs: readonly string[],
  domain: string,
): void {
  const full = fullName(pod, domain);
  const names = [...(full === undefined ? [] : [full]), shortName(pod)];
  const aliases = (pod.spec?.hostAliases ?? []).map(
    ({ ip = "", hostnames = [] }) => `${ip}\t${hostnames.join("\t")}`,
  );
  const own = pod.spec?.hostNetwork
    ? ["# Kubernetes-managed hosts file (host network).", readOrEmpty("/etc/hosts").trimEnd()]
    : [
        ...["# Kubernetes-managed hosts file.", ...commonHosts],
        ...podIPs.map((podIP) => `${podIP}\t${names.join("\t")}`),
      ];
  const more = aliases.length > 0 ? ["", "# Entries added by HostAliases.", ...aliases] : [];
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${[...own, ...more].join("\n")}\n`, { mode: 0o644 });
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return ""; // the node has none
    throw error;
  }
}
