import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
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
import type { ApiObject, WatchEvent } from "../../services/client/types.ts";
import { createProcessRuntime, Kubelet } from "../../services/kubelet/mod.ts";
import { until } from "../contract/container-runtime.ts";
import { silent } from "./support.ts";

/** A kind with watchers, as little as an informer needs. */
class FakeKind<T extends ApiObject> {
  readonly objects = new Map<string, T>();
  #revision = 1;
  readonly #watchers = new Set<(event: WatchEvent<T>) => void>();
  readonly selected: (object: T) => boolean;

  constructor(selected: (object: T) => boolean = () => true) {
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

  list = async () => ({
    items: [...this.objects.values()].filter(this.selected),
    resourceVersion: String(this.#revision),
    continue: undefined,
  });

  get = async (name: string): Promise<T> => {
    const found = this.objects.get(name);
    if (found === undefined) throw new StatusError(Code.notFound, "none", { reason: "NotFound" });
    return found;
  };

  create = async (object: T): Promise<T> => this.put(object);
  patch = async (name: string): Promise<T> => this.get(name);

  async *watch(options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<WatchEvent<T>> {
    const queue: WatchEvent<T>[] = [];
    let wake: () => void = () => undefined;
    const watcher = (event: WatchEvent<T>) => {
      queue.push(event);
      wake();
    };
    this.#watchers.add(watcher);
    options.signal?.addEventListener("abort", () => wake(), { once: true });
    try {
      while (!options.signal?.aborted) {
        const next = queue.shift();
        if (next !== undefined) yield next;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      this.#watchers.delete(watcher);
    }
  }
}

/** An apiserver of one node: takes heartbeats, writes statuses, removes what the node removed. */
function fakeCluster() {
  const pods = new FakeKind<Pod>((pod) => pod.spec?.nodeName === "n1");
  const nodes = new FakeKind<Node>();
  const kinds: Record<string, FakeKind<ApiObject>> = {
    Pod: pods as unknown as FakeKind<ApiObject>,
    Node: nodes as unknown as FakeKind<ApiObject>,
    Service: new FakeKind(),
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
    ...{ pods, nodes, events: new FakeKind(), configMaps: new FakeKind(), secrets: new FakeKind() },
    leases: new FakeKind(),
    resource: (kind: string) => kinds[kind],
    async heartbeat() {
      const queue: (HeartbeatResponse | undefined)[] = [];
      let wake: () => void = () => undefined;
      const push = (item: HeartbeatResponse | undefined) => {
        queue.push(item);
        wake();
      };
      return {
        send(request: HeartbeatRequest) {
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
  return { pods, nodes, client: client as unknown as TriremeClient };
}

function startKubelet(client: TriremeClient, dir: string): Kubelet {
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
  });
}

const podNamed = (name: string, command: string[], more: Pod["spec"] = {}): Pod => ({
  metadata: { name, namespace: "d", uid: `uid-${name}` },
  spec: {
    nodeName: "n1",
    restartPolicy: "Always",
    terminationGracePeriodSeconds: 1,
    containers: [{ name: "c", image: "i", command }],
    ...more,
  },
});

test("a node: registration, address, run, restart of the kubelet, deletion, orphans", async () => {
  const dir = await mkdtemp(join(tmpdir(), "trireme-kubelet-"));
  const { pods, nodes, client } = fakeCluster();
  const phase = (name: string) => pods.objects.get(name)?.status?.phase;
  let kubelet = startKubelet(client, dir);
  await kubelet.runtime.load();
  try {
    await kubelet.start();
    assert.equal(nodes.objects.get("n1")?.metadata?.labels?.["kubernetes.io/os"], "linux");

    pods.put(podNamed("web", ["sh", "-c", 'echo "$POD_IP $(POD_NAME)"; exec sleep 1000']));
    await until("it waits for an address", () => phase("web") === "Pending");
    nodes.put({ ...(nodes.objects.get("n1") as Node), spec: { podCIDR: "127.64.5.0/24" } });
    await until("web runs", () => phase("web") === "Running");
    const web = pods.objects.get("web");
    assert.equal(web?.status?.podIP, "127.64.5.1");
    const id = web?.status?.containerStatuses?.[0]?.containerID;
    assert.match(id ?? "", /^process:\/\/[0-9a-f]{64}$/);

    pods.put(
      podNamed("greedy", ["true"], {
        containers: [{ name: "c", command: ["true"], resources: { requests: { cpu: "2" } } }],
      }),
    );
    await until("greedy is refused", () => phase("greedy") === "Failed");
    assert.equal(pods.objects.get("greedy")?.status?.reason, "OutOfcpu");

    pods.put(podNamed("lost", ["sleep", "1000"]));
    await until("lost runs", () => phase("lost") === "Running");
    assert.equal(pods.objects.get("lost")?.status?.podIP, "127.64.5.2");

    await kubelet.close();
    pods.remove("lost");
    kubelet = startKubelet(client, dir);
    await kubelet.runtime.load();
    await kubelet.start();
    await until("the orphan is ended", () => kubelet.runtime.sandboxes().length === 1);
    assert.equal(phase("web"), "Running");
    const again = pods.objects.get("web");
    assert.equal(again?.status?.containerStatuses?.[0]?.containerID, id, "it was not restarted");

    pods.put({
      ...(again as Pod),
      metadata: { ...again?.metadata, deletionTimestamp: "x", deletionGracePeriodSeconds: 1 },
    });
    await until("web is gone", () => !pods.objects.has("web"));
    await until("nothing is left", () => kubelet.runtime.sandboxes().length === 0);
    assert.deepEqual(kubelet.runtime.containers(), []);
  } finally {
    await kubelet.close();
    // What a failed run has left; a closed runtime only lets go.
    const cleaner = createProcessRuntime({ root: join(dir, "runtime"), log: silent });
    await cleaner.load();
    for (const sandbox of cleaner.sandboxes()) await cleaner.removeSandbox(sandbox.uid);
    await cleaner.close();
    await rm(dir, { recursive: true, force: true });
  }
});
