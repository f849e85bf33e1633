/**
 * The certificates that a kubelet gets from the cluster: the first one by a bootstrap token, later
 * ones by the one before (upstream's TLS bootstrapping and certificate rotation).
 */
import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import {
  CertificateManager,
  type CertificatePurpose,
  connectClient,
  readPairFile,
  requestCertificate,
  type TriremeClient,
  writePairFile,
} from "../client/mod.ts";
import { listOf, type NodeIPs } from "./node/node-ips.ts";

const nodesGroup = "system:nodes";
const clientFile = "kubelet-client-current.pem";
const servingFile = "kubelet-server-current.pem";
/** Approval and signature take the cluster a moment. */
const bootstrapMillisMax = 60_000;

export interface BootstrapOptions {
  /** `host:port` of the gRPC API. */
  readonly servers: readonly string[];
  /** PEM of the cluster's CA. */
  readonly ca: string;
  readonly token: string;
  readonly nodeName: string;
  /** Where the certificates are kept. */
  readonly directory: string;
  readonly log: Log;
}

/** Answers the file of the node's client certificate, which a bootstrap token pays for if need be. */
export async function bootstrapNode(options: BootstrapOptions): Promise<string> {
  const { servers, ca, token, nodeName, directory, log } = options;
  const file = join(directory, clientFile);
  if (await isUsable(file)) return file;
  const identity = `kubelet-${nodeName}`;
  const client = connectClient({ servers, tls: { ca }, token, log, identity, program: "kubelet" });
  try {
    const pair = await requestCertificate(clientPurpose(nodeName), {
      requests: client.certificateSigningRequests,
      clock: productionClock,
      prefix: "node-csr-",
      withinMillis: bootstrapMillisMax,
    });
    await writePairFile(file, pair);
    log.info("the node has got its first certificate", { node: nodeName, file });
  } finally {
    client.close();
  }
  return file;
}

async function isUsable(file: string): Promise<boolean> {
  const pair = await readPairFile(file);
  if (pair === undefined) return false;
  const validTo = new X509Certificate(pair.cert).validTo;
  return productionClock.wallMillis() < Date.parse(validTo);
}

export interface CertificateFlags {
  readonly server: string;
  readonly "certificate-authority": string | undefined;
  readonly "client-certificate": string | undefined;
  readonly "client-key": string | undefined;
  readonly "cert-dir": string | undefined;
  readonly "bootstrap-token-file": string | undefined;
  readonly "tls-cert-file": string | undefined;
  readonly "tls-private-key-file": string | undefined;
  readonly port: number;
}

/** A kubelet that looks after its own certificates. */
export interface ManagedCertificates {
  /** The client's pair, as one file. */
  readonly clientFile: string;
  /** PEM. */
  readonly ca: string;
  readonly directory: string;
}

/**
 * Undefined without `--cert-dir`: then flags name files that the kubelet leaves as they are. Rejects
 * with a StatusError that names the flag when there is neither a certificate nor a way to get one.
 */
export async function manageCertificates(
  values: CertificateFlags,
  nodeName: string,
  log: Log,
): Promise<ManagedCertificates | undefined> {
  const directory = values["cert-dir"];
  const tokenFile = values["bootstrap-token-file"];
  if (directory === undefined) {
    if (tokenFile === undefined) return undefined;
    throw invalid("--bootstrap-token-file needs --cert-dir, where the certificates are kept");
  }
  const files = [
    "client-certificate",
    "client-key",
    "tls-cert-file",
    "tls-private-key-file",
  ] as const;
  for (const flag of files) {
    if (values[flag] === undefined) continue;
    throw invalid(`--${flag} and --cert-dir exclude each other: the kubelet asks for its own`);
  }
  const caFile = values["certificate-authority"];
  if (caFile === undefined) throw invalid("--cert-dir needs --certificate-authority");
  if (values.port === 0) throw invalid("--cert-dir needs a --port other than 0");
  const ca = await read("certificate-authority", caFile);
  const file = join(directory, clientFile);
  if (!(await isUsable(file))) {
    if (tokenFile === undefined) {
      const text = `${file} holds no valid certificate; --bootstrap-token-file is needed to get one`;
      throw invalid(text);
    }
    const token = (await read("bootstrap-token-file", tokenFile)).trim();
    const servers = values.server.split(",").map((server) => server.trim());
    await bootstrapNode({ servers, ca, token, nodeName, directory, log });
  }
  return { clientFile: file, ca, directory };
}

/** Renews the client's certificate; the connection notices the file. */
export function clientManager(
  { clientFile: file }: ManagedCertificates,
  options: ManagerParts,
): CertificateManager {
  return managerOf(file, clientPurpose(options.nodeName), options);
}

/** Gets and renews the certificate that the kubelet shows to its callers. */
export function servingManager(
  { directory }: ManagedCertificates,
  options: ManagerParts & { readonly nodeIPs: NodeIPs },
): CertificateManager {
  const { nodeName, nodeIPs } = options;
  const purpose: CertificatePurpose = {
    wanted: {
      commonName: `system:node:${nodeName}`,
      organizations: [nodesGroup],
      dnsNames: [nodeName],
      addresses: listOf(nodeIPs),
    },
    signerName: "kubernetes.io/kubelet-serving",
    usages: ["digital signature", "server auth"],
  };
  return managerOf(join(directory, servingFile), purpose, options);
}

interface ManagerParts {
  readonly nodeName: string;
  readonly client: TriremeClient;
  readonly log: Log;
  readonly changed?: ConstructorParameters<typeof CertificateManager>[0]["changed"];
}

function managerOf(
  file: string,
  purpose: CertificatePurpose,
  { client, log, changed }: ManagerParts,
): CertificateManager {
  const requests = client.certificateSigningRequests;
  const world = { clock: productionClock, random: Math.random, log };
  return new CertificateManager({ file, purpose, requests, changed, ...world });
}

function clientPurpose(nodeName: string): CertificatePurpose {
  return {
    wanted: { commonName: `system:node:${nodeName}`, organizations: [nodesGroup] },
    signerName: "kubernetes.io/kube-apiserver-client-kubelet",
    usages: ["digital signature", "client auth"],
  };
}

async function read(flag: string, file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw invalid(`--${flag}: ${(error as Error).message}`);
  }
}

function invalid(text: string): StatusError {
  return new StatusError(Code.invalidArgument, text);
}
