/**
 * The processes of a local cluster, with the flags that join them: what `trireme up` supervises.
 * Each could as well be started by hand, on another machine, with the same flags.
 */
import { join, resolve } from "node:path";
import { defaultTimers } from "../../ha/runtime/timers.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { Child } from "./child.ts";
import type { Credentials } from "./credentials.ts";
import type { Endpoints } from "./endpoints.ts";
import { restAddresses } from "./kubeconfig.ts";
import {
  addressRanges,
  balancerCount,
  type ClusterShape,
  clusterDnsAddress,
  directories,
  host,
  memberNames,
  ports,
  shareOfMachine,
} from "./layout.ts";

/** A control-plane process is missed at once; restarts in a row back off. */
const restartMillis = 500;
const restartMillisMax = 10_000;

/** Processes that are started after others are started at the latest after this. */
const restMillisMax = 5_000;
const standbyMillisMax = 15_000;

export interface LocalClusterOptions {
  readonly shape: ClusterShape;
  readonly credentials: Credentials;
  readonly log: Log;
  /** How long a killed node stays away: longer than the node grace, as a lost machine would. */
  readonly nodeReturnMillis: number;
  /** Administrators may set faults into the masters. */
  readonly enableFaults: boolean;
  /** Flags of tracing, for every process. */
  readonly traceArgs: readonly string[];
  readonly changed: () => void;
  /** A process was started. */
  readonly started?: ((name: string) => void) | undefined;
  /** A process ended; `how` as in "was ended by SIGKILL". */
  readonly ended?: ((name: string, how: string) => void) | undefined;
  /** What a balancer says to its supervisor. */
  readonly heard?: ((balancer: string, message: unknown) => void) | undefined;
  /** A node's kubelet was killed: its machine counts as lost, with everything that ran on it. */
  readonly lostNode: (name: string) => void;
}

export class LocalCluster {
  readonly masters: readonly Child[];
  readonly balancers: readonly Child[];
  readonly schedulers: readonly Child[];
  readonly controllerManagers: readonly Child[];
  readonly kubelets: readonly Child[];
  readonly kubeProxies: readonly Child[];
  /** None or one. */
  readonly hollow: readonly Child[];
  readonly ingress: readonly Child[];
  readonly #options: LocalClusterOptions;
  readonly #late: NodeJS.Timeout[] = [];
  /** Name of the leading master, as the masters say. */
  leader: string | undefined;
  /** Masters that serve and nodes that are ready, as the masters say. */
  serving: Endpoints["serving"] = { masters: 0, nodes: 0 };
  ready = false;

  constructor(options: LocalClusterOptions) {
    this.#options = options;
    const { shape, credentials } = options;
    const child = (name: string, args: readonly string[]) => this.#child(name, args);
    this.masters = memberNames("master", shape.masters).map((name, i) =>
      child(name, [
        ...masterArgs(shape, credentials, name, i),
        ...(options.enableFaults ? ["--enable-faults"] : []),
      ]),
    );
    this.balancers = memberNames("balancer", balancerCount).map((name, i) =>
      child(name, balancerArgs(shape, credentials, i)),
    );
    this.schedulers = memberNames("scheduler", 2).map((name, i) =>
      child(name, [
        "scheduler",
        ...clientArgs(shape, credentials.scheduler),
        ...metricsArgs(ports(shape).metrics.scheduler(i)),
      ]),
    );
    this.controllerManagers = memberNames("controller-manager", 2).map((name, i) =>
      child(name, [
        "controller-manager",
        ...clientArgs(shape, credentials.controllerManager),
        ...metricsArgs(ports(shape).metrics.controllerManager(i)),
        ...sharedControllerArgs(shape),
        ...["--root-ca-file", credentials.ca],
        ...["--service-account-private-key-file", credentials.serviceAccountKey.privateKey],
        ...["--cluster-signing-cert-file", credentials.ca],
        ...["--cluster-signing-key-file", credentials.caKey],
      ]),
    );
    this.kubelets = memberNames("node", shape.nodes).map((name, i) =>
      child(name, kubeletArgs(shape, credentials, name, i)),
    );
    this.kubeProxies = memberNames("node", shape.nodes).map((name, i) =>
      child(`kube-proxy-${name}`, [
        "kube-proxy",
        ...clientArgs(shape, credentials.kubeProxy),
        ...metricsArgs(ports(shape).metrics.kubeProxy(i)),
        ...["--hostname-override", name],
        // Two clusters on one machine differ in their base ports; UDP and TCP do not meet.
        ...["--peer-port", String(shape.basePort)],
        ...clusterDnsArgs(shape),
      ]),
    );
    this.ingress = shape.ingress ? [child("ingress", ingressArgs(shape, credentials.ingress))] : [];
    this.hollow =
      (shape.hollow ?? 0) === 0 ? [] : [child("hollow-nodes", hollowArgs(shape, credentials))];
  }

  #child(name: string, args: readonly string[]): Child {
    const { shape, log, changed, started, ended, heard, lostNode, traceArgs } = this.#options;
    return new Child({
      name,
      args: [...args, ...traceArgs],
      log,
      changed,
      started: () => started?.(name),
      ended: (how) => ended?.(name, how),
      ...(args[0] === "balancer" && {
        heard: (message) => {
          this.settle(new Set([name]));
          heard?.(name, message);
        },
      }),
      givesWay: () => this.#othersServe(name),
      logFile: `${directories(shape.dataDirectory).logs}/${name}.log`,
      killed: () => {
        if (args[0] === "kubelet") lostNode(name);
      },
      restartDelayMillis: (killed, failures) => {
        if (killed && args[0] === "kubelet") return this.#options.nodeReturnMillis;
        return Math.min(restartMillis * 2 ** (failures - 1), restartMillisMax);
      },
    });
  }

  /**
   * Starts the masters and the balancers first: the other processes could not reach a master yet,
   * and their attempts would slow the masters down. The nodes, one scheduler and one controller
   * manager follow when a master leads, the standbys when everything is ready.
   */
  start(): void {
    for (const child of [...this.masters, ...this.balancers]) child.start();
    this.#late.push(
      setTimeout(() => this.startRest(), restMillisMax),
      setTimeout(() => this.startStandbys(), standbyMillisMax),
    );
  }

  /** Masters and balancers that serve, by name: they have done what their start takes. */
  settle(serving: ReadonlySet<string>): void {
    for (const child of [...this.masters, ...this.balancers]) {
      if (!child.settled && child.pid !== undefined && serving.has(child.name)) child.settle();
    }
  }

  /**
   * Whether clients are served without this process, whose start then must not cost them time: a
   * master leaves a quorum, a balancer another balancer.
   */
  #othersServe(name: string): boolean {
    const groups = [
      { all: this.masters, least: 2 },
      { all: this.balancers, least: 1 },
    ];
    return groups.some(({ all, least }) => {
      const others = all.filter((child) => child.name !== name);
      const among = others.length < all.length;
      return among && others.length >= least && others.every(({ settled }) => settled);
    });
  }

  get #all(): readonly Child[] {
    const loops = [...this.schedulers, ...this.controllerManagers];
    const nodes = [...this.kubelets, ...this.kubeProxies, ...this.hollow, ...this.ingress];
    return [...this.masters, ...this.balancers, ...loops, ...nodes];
  }

  startRest(): void {
    const active = [...this.controllerManagers.slice(0, 1), ...this.schedulers.slice(0, 1)];
    const nodes = [
      ...this.kubelets,
      ...active,
      ...this.kubeProxies,
      ...this.hollow,
      ...this.ingress,
    ];
    for (const child of nodes) child.startOnce();
  }

  startStandbys(): void {
    for (const child of [...this.schedulers, ...this.controllerManagers]) child.startOnce();
  }

  /** Clients of the API first, then the way to it, then the masters. */
  async stop(): Promise<void> {
    for (const timer of this.#late.splice(0)) clearTimeout(timer);
    const { graceMillis } = stopTimes;
    for (const child of this.#all) child.letEnd();
    const stop = (children: readonly Child[]) =>
      Promise.all(children.map((c) => c.stop(graceMillis)));
    await stop([...this.kubelets, ...this.kubeProxies, ...this.hollow, ...this.ingress]);
    await stop([...this.schedulers, ...this.controllerManagers]);
    await stop(this.balancers);
    await stop(this.masters);
  }

  #ingressEndpoint(): Pick<Endpoints, "ingress"> {
    const [child] = this.ingress;
    if (child === undefined) return {};
    const { http, https } = ports(this.#options.shape).ingress;
    const at = (port: number) => `${host}:${port}`;
    return { ingress: { name: child.name, pid: child.pid, http: at(http), https: at(https) } };
  }

  endpoints(): Endpoints {
    const { shape, credentials } = this.#options;
    const at = ports(shape);
    const named = (children: readonly Child[]) => children.map(({ name, pid }) => ({ name, pid }));
    const balancers = this.balancers.map(({ name, pid }, i) => ({
      name,
      pid,
      grpc: `${host}:${at.balancer(i).grpc}`,
      etcd: `${host}:${at.balancer(i).etcd}`,
      https: `${host}:${at.balancer(i).https}`,
    }));
    const https = restAddresses(shape);
    return {
      grpc: `${host}:${at.balancer(0).grpc}`,
      etcd: `${host}:${at.balancer(0).etcd}`,
      grpcEndpoints: balancers.map(({ grpc }) => grpc),
      etcdEndpoints: balancers.map(({ etcd }) => etcd),
      https: https[0] ?? "",
      httpsEndpoints: https,
      kubeconfig: directories(shape.dataDirectory).kubeconfig,
      ca: credentials.ca,
      clientCert: credentials.admin.cert,
      clientKey: credentials.admin.key,
      masters: this.masters.map(({ name, pid }, i) => ({
        name,
        pid,
        grpc: `${host}:${at.master(i).grpc}`,
        peer: `${host}:${at.master(i).peer}`,
        etcd: `${host}:${at.master(i).etcd}`,
        https: `${host}:${at.master(i).https}`,
        leader: name === this.leader,
      })),
      schedulers: named(this.schedulers),
      controllerManagers: named(this.controllerManagers),
      nodes: this.kubelets.map(({ name, pid }, i) => ({
        name,
        pid,
        kubeProxyPid: this.kubeProxies[i]?.pid,
      })),
      ...(this.hollow[0] && { hollow: { name: this.hollow[0].name, pid: this.hollow[0].pid } }),
      ...this.#ingressEndpoint(),
      balancers,
      supervisor: { pid: process.pid },
      faults: this.#options.enableFaults,
      serving: this.serving,
      ready: this.ready,
    };
  }
}

/** Every process bounds its own stop; the supervisor waits a little longer. */
const stopTimes = { graceMillis: defaultTimers.supervisorGrace } as const;

interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** Where clients of the API go, the first one first. */
function balancerAddresses(shape: ClusterShape): string[] {
  const at = ports(shape);
  return Array.from({ length: balancerCount }, (_, i) => `${host}:${at.balancer(i).grpc}`);
}

function metricsArgs(port: number): string[] {
  return ["--metrics-bind-address", `${host}:${port}`];
}

function etcdAddresses(shape: ClusterShape): string[] {
  const at = ports(shape);
  return Array.from({ length: balancerCount }, (_, i) => `${host}:${at.balancer(i).etcd}`);
}

function clientArgs(shape: ClusterShape, pair: KeyPair & { readonly ca: string }): string[] {
  return [
    ...["--server", balancerAddresses(shape).join(",")],
    ...["--certificate-authority", pair.ca],
    ...["--client-certificate", pair.cert],
    ...["--client-key", pair.key],
  ];
}

function masterArgs(
  shape: ClusterShape,
  credentials: Credentials,
  name: string,
  i: number,
): string[] {
  const master = credentials.masters[i];
  if (!master) throw new Error(`no credentials for ${name}`);
  const at = ports(shape);
  const cluster = credentials.masters
    .map((peer, j) => `${peer.name}=${host}:${at.master(j).peer}/${peer.peerId}`)
    .join(",");
  return [
    "apiserver",
    ...["--name", name],
    ...["--data-dir", directories(shape.dataDirectory).master(name)],
    ...["--bind-address", host],
    ...["--grpc-port", String(at.master(i).grpc)],
    ...["--https-port", String(at.master(i).https)],
    ...["--etcd-port", String(at.master(i).etcd)],
    ...["--listen-peer", `${host}:${at.master(i).peer}`],
    ...["--initial-cluster", cluster],
    ...["--peer-key-file", master.peerKeyFile],
    ...["--client-ca-file", credentials.ca],
    ...["--tls-cert-file", master.server.cert],
    ...["--tls-private-key-file", master.server.key],
    ...["--service-cluster-ip-range", addressRanges(shape).services],
    ...clusterDnsArgs(shape),
    ...["--default-not-ready-toleration-seconds", String(lostNodeSeconds)],
    ...["--default-unreachable-toleration-seconds", String(lostNodeSeconds)],
    ...["--kubernetes-service-endpoints", restAddresses(shape).join(",")],
    ...["--advertise-grpc-endpoints", balancerAddresses(shape).join(",")],
    ...["--advertise-etcd-endpoints", etcdAddresses(shape).join(",")],
    `--advertise-controller-manager-args=${sharedControllerArgs(shape).join(",")}`,
    ...["--kubelet-client-certificate", master.client.cert],
    ...["--kubelet-client-key", master.client.key],
    ...["--service-account-signing-key-file", credentials.serviceAccountKey.privateKey],
    ...["--service-account-key-file", credentials.serviceAccountKey.publicKey],
    ...auditArgs(shape, name),
    ...encryptionArgs(shape),
  ];
}

/** Those of controller managers on other machines as well. */
function sharedControllerArgs(shape: ClusterShape): string[] {
  return [
    `--cluster-cidr=${addressRanges(shape).pods}`,
    `--volume-host-path-dir=${join(resolve(shape.dataDirectory), "volumes")}`,
  ];
}

function auditArgs(shape: ClusterShape, name: string): string[] {
  if (shape.auditPolicyFile === undefined) return [];
  const path = join(directories(shape.dataDirectory).logs, `${name}-audit.log`);
  return ["--audit-policy-file", shape.auditPolicyFile, "--audit-log-path", path];
}

/** Keys may be changed while the cluster runs. */
function encryptionArgs({ encryptionConfigFile }: ClusterShape): string[] {
  if (encryptionConfigFile === undefined) return [];
  const reload = "--encryption-provider-config-automatic-reload";
  return ["--encryption-provider-config", encryptionConfigFile, reload];
}

/** A cluster on one machine heals at once: pods do not wait for a node that is lost. */
const lostNodeSeconds = 0;

function balancerArgs(shape: ClusterShape, credentials: Credentials, i: number): string[] {
  const at = ports(shape);
  const masters = (face: "grpc" | "etcd" | "https") =>
    credentials.masters.map((m, j) => `${m.name}=${host}:${at.master(j)[face]}`).join(",");
  return [
    "balancer",
    ...["--bind-address", host],
    ...metricsArgs(at.metrics.balancer(i)),
    ...["--grpc-port", String(at.balancer(i).grpc)],
    ...["--masters", masters("grpc")],
    ...["--https-port", String(at.balancer(i).https)],
    ...["--https-masters", masters("https")],
    ...["--etcd-port", String(at.balancer(i).etcd)],
    ...["--etcd-masters", masters("etcd")],
    ...["--client-ca-file", credentials.ca],
    ...["--tls-cert-file", credentials.balancer.server.cert],
    ...["--tls-private-key-file", credentials.balancer.server.key],
    ...["--proxy-client-cert-file", credentials.balancer.client.cert],
    ...["--proxy-client-key-file", credentials.balancer.client.key],
    ...["--etcd-client-cert-file", credentials.balancer.etcdClient.cert],
    ...["--etcd-client-key-file", credentials.balancer.etcdClient.key],
  ];
}

function kubeletArgs(
  shape: ClusterShape,
  credentials: Credentials,
  name: string,
  i: number,
): string[] {
  const node = credentials.nodes[i];
  if (!node) throw new Error(`no credentials for ${name}`);
  return [
    "kubelet",
    ...clientArgs(shape, node.client),
    ...["--hostname-override", name],
    ...["--root-dir", directories(shape.dataDirectory).node(name)],
    ...["--pod-manifest-path", `${directories(shape.dataDirectory).node(name)}/manifests`],
    ...["--node-ip", host],
    ...["--port", String(ports(shape).kubelet(i))],
    ...["--shutdown-grace-period", "3s"],
    ...clusterDnsArgs(shape),
    ...capacityArgs(shape),
    ...(shape.imageRoot === undefined ? [] : ["--image-root", shape.imageRoot]),
    ...(shape.imageMap ?? []).flatMap((text) => ["--image-map", text]),
    ...["--client-ca-file", credentials.ca],
    ...["--tls-cert-file", node.server.cert],
    ...["--tls-private-key-file", node.server.key],
  ];
}

function ingressArgs(shape: ClusterShape, pair: Credentials["ingress"]): string[] {
  const { http, https } = ports(shape).ingress;
  return [
    "ingress",
    ...clientArgs(shape, pair),
    ...["--bind-address", host, "--http-port", String(http), "--https-port", String(https)],
  ];
}

/** An administrator's, because one process speaks for many nodes. */
function hollowArgs(shape: ClusterShape, { admin, ca }: Credentials): string[] {
  const { hollow = 0, hollowStages } = shape;
  return [
    "hollow",
    ...clientArgs(shape, { ...admin, ca }),
    ...["--nodes", String(hollow)],
    ...(hollowStages === undefined ? [] : ["--stage-file", hollowStages]),
  ];
}

/** What masters, nodes and proxies are told alike. */
function clusterDnsArgs(shape: ClusterShape): string[] {
  const address = clusterDnsAddress(shape);
  return address === undefined ? [] : ["--cluster-dns", address];
}

/** The nodes of one machine share it: together they claim no more than it has. */
function capacityArgs(shape: ClusterShape): string[] {
  const share = shareOfMachine(shape.nodes, shape.dataDirectory);
  const capacity = { ...share, ...shape.nodeCapacity };
  return [
    ...["--capacity-cpu", capacity.cpu],
    ...["--capacity-memory", capacity.memory],
    ...["--capacity-ephemeral-storage", capacity["ephemeral-storage"]],
  ];
}
