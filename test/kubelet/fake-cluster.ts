/** An apiserver of one node, as little as a kubelet needs. */
import { join } from "node:path";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type {
  HeartbeatRequest,
  HeartbeatResponse,
  Node,
  Pod,
  PodStatusReport,
} from "../../proto/gen/core.ts";
import type { TriremeClient } from "../../services/client/mod.ts";
import type { ApiObject, DeleteOptions, WatchEvent } from "../../services/client/types.ts";
import type { KubeletOptions } from "../../services/kubelet/kubelet.ts";
import { createProcessRuntime, Kubelet } from "../../services/kubelet/mod.ts";
import { silent } from "./support.ts";

/** The way to the apiserver, which can be cut. */
class Network {
  isCut = false;
  readonly #open = new Set<() => void>();

  /** Throws while it is cut. */
  check(): void {
    if (this.isCut) throw new StatusError(Code.unavailable, "the network is cut");
  }

  /** `broken` is called when it is cut. Answers how to say that the stream has ended. */
  opened(broken: () => void): () => void {
    this.#open.add(broken);
    return () => this.#open.delete(broken);
  }

  cut(): void {
    this.isCut = true;
    for (const broken of this.#open) broken();
  }

  heal(): void {
    this.isCut = false;
  }
}

/** A kind with watchers, as little as an informer needs. */
class FakeKind<T extends ApiObject> {
  readonly objects = new Map<string, T>();
  #revision = 1;
  #uids = 0;
  readonly #watchers = new Set<(event: WatchEvent<T>) => void>();
  readonly selected: (object: T) => boolean;
  readonly #network: Network;

  constructor(network: Network, selected: (object: T) => boolean = () => true) {
    this.#network = network;
    this.selected = selected;
  }

  put(object: T): T {
    const key = object.metadata?.name ?? "";
    const type = this.objects.has(key) ? "MODIFIED" : "ADDED";
    const stored = {
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(++this.#revision) },
    };
    this.objects.set(key, stored);
    this.#tell({ type, object: stored });
    return stored;
  }

  remove(name: string): void {
    const object = this.objects.get(name);
    if (object === undefined) return;
    this.objects.delete(name);
    this.#revision += 1;
    this.#tell({ type: "DELETED", object });
  }

  #tell(event: WatchEvent<T>): void {
    if (this.selected(event.object)) for (const watcher of this.#watchers) watcher(event);
  }

  list = async () => {
    this.#network.check();
    return {
      items: [...this.objects.values()].filter(this.selected),
      resourceVersion: String(this.#revision),
      continue: undefined,
    };
  };

  get = async (name: string): Promise<T> => {
    this.#network.check();
    const found = this.objects.get(name);
    if (found === undefined) throw new StatusError(Code.notFound, "none", { reason: "NotFound" });
    return found;
  };

  create = async (object: T): Promise<T> => {
    this.#network.check();
    const { name = "", uid = `api-${++this.#uids}` } = object.metadata ?? {};
    if (this.objects.has(name)) {
      throw new StatusError(Code.alreadyExists, "exists", { reason: "AlreadyExists" });
    }
    return this.put({ ...object, metadata: { ...object.metadata, uid } });
  };
  delete = async (
    name: string,
    _namespace?: string,
    { preconditions }: DeleteOptions = {},
  ): Promise<void> => {
    const found = await this.get(name);
    if (preconditions?.uid !== undefined && preconditions.uid !== found.metadata?.uid) {
      throw new StatusError(Code.aborted, "another object", { reason: "Conflict" });
    }
    this.remove(name);
  };
  patch = async (name: string): Promise<T> => this.get(name);

  async *watchBatches(
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<readonly WatchEvent<T>[]> {
    const queue: WatchEvent<T>[] = [];
    let wake: () => void = () => undefined;
    const watcher = (event: WatchEvent<T>) => {
      queue.push(event);
      wake();
    };
    this.#network.check();
    this.#watchers.add(watcher);
    const ended = this.#network.opened(() => wake());
    options.signal?.addEventListener("abort", () => wake(), { once: true });
    try {
      while (!options.signal?.aborted) {
        this.#network.check();
        if (queue.length > 0) yield queue.splice(0);
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      this.#watchers.delete(watcher);
      ended();
    }
  }
}

/** An apiserver of one node: takes heartbeats, writes statuses, removes what the node removed. */
export function fakeCluster() {
  const network = new Network();
  const kind = <T extends ApiObject>() => new FakeKind<T>(network);
  const pods = new FakeKind<Pod>(network, (pod) => pod.spec?.nodeName === "n1");
  const nodes = kind<Node>();
  const kinds: Record<string, FakeKind<ApiObject>> = {
    Pod: pods as unknown as FakeKind<ApiObject>,
    Node: nodes as unknown as FakeKind<ApiObject>,
    Service: kind(),
  };
  const take = (report: PodStatusReport) => {
    const { namespace, name = "", uid } = report;
    const result = { namespace, name, uid };
    const stored = pods.objects.get(name);
    if (stored === undefined) return { ...result, code: 404 };
    if (stored.metadata?.uid !== uid) return { ...result, code: 409 };
    if (report.removed) pods.remove(name);
    else pods.put({ ...stored, status: report.status });
    return { ...result, code: 200 };
  };
  const client = {
    ...{ pods, nodes, events: kind(), configMaps: kind(), secrets: kind(), leases: kind() },
    resource: (kind: string) => kinds[kind],
    async heartbeat() {
      network.check();
      const queue: (HeartbeatResponse | undefined)[] = [];
      let wake: () => void = () => undefined;
      const push = (item: HeartbeatResponse | undefined) => {
        queue.push(item);
        wake();
      };
      network.opened(() => push(undefined));
      return {
        send(request: HeartbeatRequest) {
          if (network.isCut) return true;
          const registered = nodes.objects.has("n1");
          const pods = (request.pods ?? []).map(take);
          setImmediate(() => push({ sequence: request.sequence, registered, pods }));
          return true;
        },
        end: () => push(undefined),
        cancel: () => push(undefined),
        responses: (async function* () {
          for (;;) {
            while (queue.length === 0) {
              await new Promise<void>((resolve) => {
                wake = resolve;
              });
            }
            const next = queue.shift();
            if (next === undefined) return;
            yield next;
          }
        })(),
      };
    },
  };
  return { pods, nodes, network, client: client as unknown as TriremeClient };
}

export function startKubelet(
  client: TriremeClient,
  dir: string,
  more: Partial<KubeletOptions> = {},
): Kubelet {
  return new Kubelet({
    client,
    runtime: createProcessRuntime({ root: join(dir, "runtime"), log: silent }),
    clock: productionClock,
    random: Math.random,
    log: silent,
    dataDir: dir,
    node: {
      nodeName: "n1",
      nodeIP: "127.0.0.1",
      port: 1,
      maxPods: 110,
      labels: {},
      taints: [],
      capacityCpu: "1",
      capacityMemory: "1Gi",
      reserved: {},
      runtimeVersion: "process://1",
      kubeletVersion: "v1",
    },
    ...more,
  });
}
