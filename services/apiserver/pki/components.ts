import { X509Certificate } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { parseAddressRanges } from "../address-range.ts";
import { type Authority, type CertificateRequest, createAuthority } from "./authority.ts";
import { type KeyPairFiles, loadKeyPair, writeKeyPair } from "./key-pair.ts";

/** A credential by the base name of its files. */
interface Credential extends CertificateRequest {
  readonly file: string;
}

export interface ClusterLayout {
  /** Names of the apiservers, e.g. `master-0`. */
  readonly masters: readonly string[];
  readonly nodes: readonly string[];
  /** DNS names and addresses under which masters and balancer are reached. */
  readonly hosts: readonly string[];
  /** As `hosts`, per node; default: `hosts`. */
  readonly nodeHosts?: Readonly<Record<string, readonly string[]>> | undefined;
  /** Range of the services' addresses: the first is that of the API itself. */
  readonly serviceRange?: string | undefined;
  readonly days?: number | undefined;
}

/** The names of the service `kubernetes`, by which programs in pods reach the API. */
const serviceNames = [
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster.local",
];

/** The credentials of every component, with the names that upstream's components have. */
function clusterCredentials(layout: ClusterLayout): Credential[] {
  const { hosts, serviceRange, days } = layout;
  const serviceAddresses =
    serviceRange === undefined ? [] : [parseAddressRanges(serviceRange)[0].first];
  const apiHosts = [...hosts, ...serviceNames, ...serviceAddresses];
  const client = (file: string, commonName: string, ...organizations: string[]): Credential => {
    return { file, commonName, organizations, days, use: "client" };
  };
  return [
    client("admin", "kubernetes-admin", "system:masters"),
    client("scheduler", "system:kube-scheduler"),
    client("controller-manager", "system:kube-controller-manager"),
    client("kube-proxy", "system:kube-proxy"),
    client("ingress", "trireme:ingress"),
    client("front-proxy-client", "trireme:balancer"),
    client("front-proxy-etcd-client", "trireme:balancer", "system:masters"),
    client("apiserver-kubelet-client", "system:kube-apiserver"),
    { file: "balancer", commonName: "trireme:balancer", hosts: apiHosts, days, use: "server" },
    ...layout.masters.map((name): Credential => {
      return { file: `apiserver-${name}`, commonName: name, hosts: apiHosts, days, use: "server" };
    }),
    ...layout.nodes.map((name) => client(`kubelet-${name}`, `system:node:${name}`, "system:nodes")),
    ...layout.nodes.map((name): Credential => {
      const commonName = `system:node:${name}`;
      const own = layout.nodeHosts?.[name] ?? hosts;
      return { file: `kubelet-server-${name}`, commonName, hosts: own, days, use: "server" };
    }),
  ];
}

export interface ClusterPki {
  readonly authority: Authority;
  readonly caFile: string;
  /** Certificate and key file by {@link Credential.file}. */
  readonly files: Readonly<Record<string, KeyPairFiles>>;
}

/**
 * Makes the authority and whatever credential is missing in `directory`; what is there is checked
 * and kept, but for a server's that lacks one of its hosts. Throws a StatusError that names an unreadable or expired file.
 */
export async function ensureClusterPki(
  directory: string,
  layout: ClusterLayout,
): Promise<ClusterPki> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const authority = await createAuthority(directory);
  const files: Record<string, KeyPairFiles> = {};
  for (const credential of clusterCredentials(layout)) {
    files[credential.file] = await ensureCredential(directory, authority, credential);
  }
  return { authority, caFile: join(directory, "ca.crt"), files };
}

async function ensureCredential(
  directory: string,
  authority: Authority,
  credential: Credential,
): Promise<KeyPairFiles> {
  const files = {
    cert: join(directory, `${credential.file}.crt`),
    key: join(directory, `${credential.file}.key`),
  };
  const present = await loadKeyPair(files);
  const names = credential.use === "client" ? [] : (credential.hosts ?? []);
  // A server that gets one more name needs another certificate.
  const lacking = present !== undefined && !names.every((host) => isFor(present.cert, host));
  if (present === undefined || lacking)
    await writeKeyPair(files, await authority.issue(credential));
  return files;
}

function isFor(pem: string, host: string): boolean {
  const certificate = new X509Certificate(pem);
  return (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined;
}
