/** A machine that has joined: its kubelet and its kube-proxy, started again whenever they end. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { productionClock } from "../../../ha/runtime/production/clock.ts";
import type { Log } from "../../../ha/runtime/types.ts";
import {
  CertificateManager,
  connectClient,
  readPairFile,
  type TriremeClient,
} from "../../client/mod.ts";
import { Child } from "../child.ts";

/** `join.json`: what a machine needs to know to start again. */
export interface JoinedNode {
  readonly nodeName: string;
  readonly nodeIP: string;
  readonly kubeletPort: number;
  /** By which the kube-proxies of one machine know of each other. */
  readonly peerPort: number;
  readonly grpcEndpoints: readonly string[];
}

export function joinedPaths(dataDirectory: string) {
  const pki = join(dataDirectory, "pki");
  return {
    pki,
    state: join(dataDirectory, "join.json"),
    ca: join(pki, "ca.crt"),
    clientPair: join(pki, "kubelet-client-current.pem"),
    kubeProxyPair: join(pki, "kube-proxy-current.pem"),
    logs: join(dataDirectory, "log"),
    kubelet: join(dataDirectory, "kubelet"),
  };
}

const restartMillis = 500;
const restartMillisMax = 10_000;
/** Every process bounds its own stop at 10 s; the supervisor waits a little longer. */
const stopMillis = 12_000;

export class Machine {
  readonly #children: readonly Child[];
  readonly #certificates: CertificateManager;
  readonly #stopping = new AbortController();
  readonly #log: Log;
  /** With the rights of the node. */
  readonly client: TriremeClient;

  private constructor(
    node: JoinedNode,
    paths: ReturnType<typeof joinedPaths>,
    client: TriremeClient,
    log: Log,
  ) {
    this.client = client;
    this.#log = log;
    mkdirSync(paths.logs, { recursive: true });
    const child = (name: string, args: readonly string[]) =>
      new Child({
        ...{ name, args, log },
        logFile: join(paths.logs, `${name}.log`),
        changed: () => {},
        killed: () => {},
        restartDelayMillis: (_killed, failures) =>
          Math.min(restartMillis * 2 ** (failures - 1), restartMillisMax),
      });
    const api = [
      ...["--server", node.grpcEndpoints.join(",")],
      ...["--certificate-authority", paths.ca],
    ];
    this.#children = [
      child("kubelet", [
        ...["kubelet", ...api, "--cert-dir", paths.pki],
        ...["--hostname-override", node.nodeName],
        ...["--root-dir", paths.kubelet],
        ...["--node-ip", node.nodeIP],
        ...["--port", String(node.kubeletPort)],
        ...["--shutdown-grace-period", "3s"],
      ]),
      child("kube-proxy", [
        ...["kube-proxy", ...api],
        ...["--client-certificate", paths.kubeProxyPair, "--client-key", paths.kubeProxyPair],
        ...["--hostname-override", node.nodeName],
        ...["--bind-address", node.nodeIP],
        ...["--peer-port", String(node.peerPort)],
      ]),
    ];
    this.#certificates = new CertificateManager({
      file: paths.kubeProxyPair,
      purpose: {
        wanted: { commonName: "system:kube-proxy" },
        signerName: "kubernetes.io/kube-apiserver-client",
        usages: ["digital signature", "client auth"],
      },
      requests: client.certificateSigningRequests,
      ...{ clock: productionClock, random: Math.random, log },
    });
  }

  /** `ca`: PEM. The node has its own certificate already. */
  static async open(
    node: JoinedNode,
    dataDirectory: string,
    ca: string,
    log: Log,
  ): Promise<Machine> {
    const paths = joinedPaths(dataDirectory);
    const pair = await readPairFile(paths.clientPair);
    const client = connectClient({
      servers: node.grpcEndpoints,
      tls: { ca, ...pair },
      log,
      identity: `join-${node.nodeName}`,
      program: "trireme",
    });
    return new Machine(node, paths, client, log);
  }

  /** Starts the kubelet at once, and kube-proxy when it has its certificate. */
  async start(): Promise<void> {
    const [kubelet, kubeProxy] = this.#children;
    kubelet?.start();
    const { signal } = this.#stopping;
    await this.#certificates.obtain(signal);
    if (signal.aborted) return;
    kubeProxy?.startOnce();
    this.#certificates.run(signal).catch((error: unknown) => {
      this.#log.error("kube-proxy's certificate is renewed no longer", { error });
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#children.map((each) => each.stop(stopMillis)));
    this.client.close();
  }
}
