/** Who everybody in a cluster is: certificates from its CA, and the masters' peer keys. */
import { join } from "node:path";
import { loadOrCreateIdentity } from "../../ha/runtime/production/mod.ts";
import {
  type ClusterLayout,
  ensureClusterPki,
  ensureServiceAccountKey,
  type KeyPairFiles,
  type ServiceAccountKeyFiles,
} from "../apiserver/pki/mod.ts";

/** Everything as files; PEM. */
export interface Credentials {
  readonly ca: string;
  /** The authority's own key, with which certificate requests are signed. */
  readonly caKey: string;
  /** Signs and proves the tokens of service accounts. */
  readonly serviceAccountKey: ServiceAccountKeyFiles;
  readonly admin: KeyPairFiles;
  readonly scheduler: KeyPairFiles & { readonly ca: string };
  readonly controllerManager: KeyPairFiles & { readonly ca: string };
  readonly kubeProxy: KeyPairFiles & { readonly ca: string };
  readonly ingress: KeyPairFiles & { readonly ca: string };
  readonly balancer: {
    readonly server: KeyPairFiles;
    readonly client: KeyPairFiles;
    /** Before the masters' etcd ports, which take administrators only. */
    readonly etcdClient: KeyPairFiles;
  };
  readonly masters: readonly {
    readonly name: string;
    readonly server: KeyPairFiles;
    /** With which it calls kubelets. */
    readonly client: KeyPairFiles;
    readonly peerKeyFile: string;
    /** libp2p peer id of that key. */
    readonly peerId: string;
  }[];
  readonly nodes: readonly {
    readonly name: string;
    readonly client: KeyPairFiles & { readonly ca: string };
    readonly server: KeyPairFiles;
  }[];
}

/** Issues what is missing; what is there is checked and kept. */
export async function ensureCredentials(
  directory: string,
  layout: ClusterLayout,
): Promise<Credentials> {
  const { caFile: ca, files } = await ensureClusterPki(directory, layout);
  const pair = (name: string): KeyPairFiles => {
    const found = files[name];
    if (!found) throw new Error(`no credential ${name} was issued`);
    return found;
  };
  const client = (name: string) => ({ ...pair(name), ca });
  const masters = await Promise.all(
    layout.masters.map(async (name) => {
      const peerKeyFile = join(directory, `peer-${name}.key`);
      const { identity: peerId } = await loadOrCreateIdentity(peerKeyFile);
      const server = pair(`apiserver-${name}`);
      return { name, server, client: pair("apiserver-kubelet-client"), peerKeyFile, peerId };
    }),
  );
  return {
    ca,
    caKey: join(directory, "ca.key"),
    serviceAccountKey: await ensureServiceAccountKey(directory),
    admin: pair("admin"),
    scheduler: client("scheduler"),
    controllerManager: client("controller-manager"),
    kubeProxy: client("kube-proxy"),
    ingress: client("ingress"),
    balancer: {
      server: pair("balancer"),
      client: pair("front-proxy-client"),
      etcdClient: pair("front-proxy-etcd-client"),
    },
    masters,
    nodes: layout.nodes.map((name) => ({
      name,
      client: client(`kubelet-${name}`),
      server: pair(`kubelet-server-${name}`),
    })),
  };
}
