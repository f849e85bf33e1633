/** kubeconfig files: how kubectl and every other Kubernetes client finds a cluster. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { stringify } from "yaml";
import type { KeyPair } from "../apiserver/pki/mod.ts";
import { balancerCount, host, ports } from "./layout.ts";

export interface KubeconfigParts {
  /** URLs of the REST API; the first is the one of the current context. */
  readonly servers: readonly string[];
  /** PEM text of the CA. */
  readonly ca: string;
  readonly user: string;
  readonly pair: KeyPair;
}

const clusterName = "trireme";

/** Certificates and key are part of the text, so that the file can be taken elsewhere. */
export function kubeconfigText({ servers, ca, user, pair }: KubeconfigParts): string {
  const names = servers.map((_, i) => (i === 0 ? clusterName : `${clusterName}-${i}`));
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: servers.map((server, i) => ({
      name: names[i],
      cluster: { server, "certificate-authority-data": base64(ca) },
    })),
    users: [
      {
        name: user,
        user: {
          "client-certificate-data": base64(pair.cert),
          "client-key-data": base64(pair.key),
        },
      },
    ],
    contexts: names.map((name) => ({ name, context: { cluster: name, user } })),
    "current-context": clusterName,
  });
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

/** Readable by its owner alone, as it holds a private key; replaced in one step. */
export function writeKubeconfig(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  const next = `${file}.${process.pid}.tmp`;
  writeFileSync(next, text, { mode: 0o600 });
  renameSync(next, file);
}

/** Where the REST API of a local cluster is served, as `host:port`. */
export function restAddresses(shape: Parameters<typeof ports>[0]): string[] {
  const at = ports(shape);
  return Array.from({ length: balancerCount }, (_, i) => `${host}:${at.balancer(i).https}`);
}

/** The text of a PEM file. */
export function pem(file: string): string {
  return readFileSync(file, "utf8");
}
