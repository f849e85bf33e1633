/** A machine that has joined as a node: its kubelet and its kube-proxy. */
import { mkdirSync } from "node:fs";
import { productionClock } from "../../../ha/runtime/production/clock.ts";
import type { Log } from "../../../ha/runtime/types.ts";
import { connectGrpcJs } from "../../client/grpc-js-wire.ts";
import { CertificateManager, readPairFile, type TriremeClient } from "../../client/mod.ts";
import type { Child } from "../child.ts";
import { type Joined, joinedPaths, stopMillis, supervised } from "./joined.ts";

/** `join.json`: what a machine needs to know to start again. */
export interface JoinedNode {
  readonly role: "node";
  readonly nodeName: string;
  /** Or one of each family, with a comma between. */
  readonly nodeIP: string;
  readonly kubeletPort: number;
  /** By which the kube-proxies of one machine know of each other. */
  readonly proxyPeerPort: number;
  /** Absent: userspace. */
  readonly proxyMode?: string | undefined;
  readonly grpcEndpoints: readonly string[];
  /** Address of the cluster's DNS, which this machine's kube-proxy serves; absent: it has none. */
  readonly clusterDns?: string | undefined;
  /** Absent: pods are processes of the machine. */
  readonly containerRuntimeEndpoint?: string | undefined;
  readonly imageRoot?: string | undefined;
}

export class Machine implements Joined {
  readonly what: string;
  readonly logFile: string;
  readonly #nodeName: string;
  readonly #kubelet: Child;
  readonly #kubeProxy: Child;
  readonly #certificates: CertificateManager;
  readonly #stopping = new AbortController();
  readonly #log: Log;
  /** With the rights of the node. */
  readonly #client: TriremeClient;

  private constructor(
    node: JoinedNode,
    paths: ReturnType<typeof joinedPaths>,
    client: TriremeClient,
    log: Log,
  ) {
    const { nodeName } = node;
    this.what = `node "${nodeName}"`;
    this.#nodeName = nodeName;
    this.#client = client;
    this.#log = log;
    mkdirSync(paths.logs, { recursive: true });
    const api = [
      ...["--server", node.grpcEndpoints.join(",")],
      ...["--certificate-authority", paths.ca],
    ];
    const clusterDns = node.clusterDns === undefined ? [] : ["--cluster-dns", node.clusterDns];
    const kubelet = [
      ...["kubelet", ...api, "--cert-dir", paths.pki],
      ...["--hostname-override", nodeName],
      ...["--root-dir", paths.kubelet],
      ...["--node-ip", node.nodeIP],
      ...["--port", String(node.kubeletPort)],
      ...["--shutdown-grace-period", "3s"],
      ...runtimeArgs(node),
      ...clusterDns,
    ];
    const kubeProxy = [
      ...["kube-proxy", ...api],
      ...["--client-certificate", paths.kubeProxyPair, "--client-key", paths.kubeProxyPair],
      ...["--hostname-override", nodeName],
      ...["--bind-address", node.nodeIP],
      ...["--peer-port", String(node.proxyPeerPort)],
      ...["--proxy-mode", node.proxyMode ?? "userspace"],
      ...clusterDns,
    ];
    const { child, logFile } = supervised("kubelet", kubelet, paths.logs, log);
    this.#kubelet = child;
    this.logFile = logFile;
    this.#kubeProxy = supervised("kube-proxy", kubeProxy, paths.logs, log).child;
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
    const client = connectGrpcJs({
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
    this.#kubelet.start();
    const { signal } = this.#stopping;
    await this.#certificates.obtain(signal);
    if (signal.aborted) return;
    this.#kubeProxy.startOnce();
    this.#certificates.run(signal).catch((error: unknown) => {
      this.#log.error("kube-proxy's certificate is renewed no longer", { error });
    });
  }

  async missing(): Promise<string | undefined> {
    const { status } = await this.#client.nodes.get(this.#nodeName);
    const condition = status?.conditions?.find(({ type }) => type === "Ready");
    if (condition?.status === "True") return undefined;
    return condition?.message ?? "its kubelet has not said anything yet";
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all([this.#kubelet.stop(stopMillis), this.#kubeProxy.stop(stopMillis)]);
    this.#client.close();
  }
}

function runtimeArgs({ containerRuntimeEndpoint, imageRoot }: JoinedNode): readonly string[] {
  return [
    ...(containerRuntimeEndpoint === undefined
      ? []
      : ["--container-runtime-endpoint", containerRuntimeEndpoint]),
    ...(imageRoot === undefined ? [] : ["--image-root", imageRoot]),
  ];
}
