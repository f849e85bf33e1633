/** metrics.k8s.io: computed from what kubelets say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRpcServer, unary } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { KubeletService, type NodeStats, type StatsRequest } from "../../proto/gen/kubelet.ts";
import { documentBody, get, list, update } from "../../services/apiserver/verbs/mod.ts";
import { builtInRegistry } from "../../services/kinds/mod.ts";
import { FakeClock } from "../kubelet/support.ts";
import { adminCall, callAs, fails, make, pod, quietLog, world } from "./harness.ts";

const registry = builtInRegistry();
const nodeMetrics = registry.required("metrics.k8s.io/v1beta1", "NodeMetrics");
const podMetrics = registry.required("metrics.k8s.io/v1beta1", "PodMetrics");
const nodes = registry.required("v1", "Node");
const pods = registry.required("v1", "Pod");

/** A kubelet that answers as it is told; `asked` counts. */
async function kubelet(answer: () => NodeStats) {
  const never = () => {
    throw new StatusError(Code.unimplemented, "only Stats is served here");
  };
  const server = createRpcServer({ log: quietLog });
  const seen = { asked: 0 };
  server.addService(KubeletService, {
    ...{ logs: never, exec: never, attach: never, portForward: never },
    stats: unary<StatsRequest, NodeStats>(() => {
      seen.asked += 1;
      return answer();
    }),
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  return { seen, port, [Symbol.asyncDispose]: () => server.close() };
}

type Space = Awaited<ReturnType<typeof world>>;

async function makeNode({ backend }: Space, name: string, port: number) {
  const labels = { zone: name };
  await make(backend, { apiVersion: "v1", kind: "Node", metadata: { name, labels } });
  const made = await get(backend, adminCall(), nodes, { name });
  const status = {
    addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
  };
  await setStatus(backend, nodes, { ...made.copy(), status });
}

async function makePod({ backend }: Space, name: string, nodeName: string, phase = "Running") {
  const document = pod(name) as { metadata?: object; spec?: object };
  const metadata = { ...document.metadata, labels: { app: name } };
  const spec = { ...document.spec, nodeName };
  const made = await make(backend, { ...document, metadata, spec } as never);
  await setStatus(backend, pods, { ...made.copy(), status: { phase } });
  return made.document.metadata?.uid ?? "";
}

async function setStatus(backend: Space["backend"], resource: typeof pods, document: object) {
  const body = documentBody(document as never);
  const write = { body, options: {}, subresource: "status", typed: false };
  await update(backend, adminCall(), resource, write);
}

const measured = (uid: string): NodeStats => ({
  ...{ time: "2030-01-01T00:00:05.123456Z", windowMillis: 5_004 },
  ...{ cpuNanoCores: 1_250_000_000, memoryBytes: 512 * 1024 * 1024 },
  pods: [
    {
      ...{ namespace: "default", name: "web", uid },
      containers: [
        { name: "a", cpuNanoCores: 250_000_000, memoryBytes: 3 * 1024 * 1024 },
        { name: "b", cpuNanoCores: 1_234_567, memoryBytes: 1_000 },
      ],
    },
  ],
});

test("nodes and pods: what their kubelet measured, with labels, window and columns", async () => {
  await using w = await world();
  let uid = "";
  await using agent = await kubelet(() => measured(uid));
  await makeNode(w, "n1", agent.port);
  uid = await makePod(w, "web", "n1");
  await makePod(w, "late", "n1");
  await makePod(w, "done", "n1", "Succeeded");
  const node = (await get(w.backend, adminCall(), nodeMetrics, { name: "n1" })).document;
  assert.equal(node.metadata?.labels?.["zone"], "n1");
  assert.deepEqual(
    [node["timestamp"], node["window"], node["usage"]],
    ["2030-01-01T00:00:05Z", "5.004s", { cpu: "1250m", memory: "512Mi" }],
  );
  const page = await list(w.backend, adminCall(), podMetrics, { namespace: "default" });
  assert.deepEqual(
    page.items.map(({ document }) => document.metadata?.name),
    ["web"],
  );
  const web = (await get(w.backend, adminCall(), podMetrics, { namespace: "default", name: "web" }))
    .document;
  assert.deepEqual(web["containers"], [
    { name: "a", usage: { cpu: "250m", memory: "3Mi" } },
    { name: "b", usage: { cpu: "1234567n", memory: "1k" } },
  ]);
  const cells = podMetrics.columns.map(({ value }) => value(web, Date.now()));
  assert.deepEqual(cells, ["web", "251234567n", "3146728", "5.004s"]);
  const none = await list(w.backend, adminCall(), podMetrics, { labelSelector: "app=late" });
  assert.equal(none.items.length, 0);
});

test("a kubelet is asked once in ten seconds, one that does not answer each time", async () => {
  const clock = new FakeClock();
  await using w = await world({ clock });
  let stats: NodeStats = {};
  await using agent = await kubelet(() => stats);
  await makeNode(w, "n1", agent.port);
  const read = () => w.backend.usage.of("n1");
  assert.equal(await read(), undefined, "not measured yet");
  stats = measured("");
  const both = await Promise.all([read(), read()]);
  assert.deepEqual([both[0] === both[1], agent.seen.asked], [true, 2]);
  await clock.advance(9_999);
  await read();
  assert.equal(agent.seen.asked, 2);
  await clock.advance(1);
  await read();
  assert.equal(agent.seen.asked, 3);
});

test("without a measurement: not found by name, left out of lists", async () => {
  await using w = await world();
  await makeNode(w, "n1", 1);
  await makePod(w, "web", "n1");
  await fails(
    get(w.backend, adminCall(), nodeMetrics, { name: "n1" }),
    "notFound",
    'nodemetrics.metrics.k8s.io "n1" not found',
  );
  await fails(
    get(w.backend, adminCall(), podMetrics, { namespace: "default", name: "web" }),
    "notFound",
    'podmetrics.metrics.k8s.io "default/web" not found',
  );
  assert.deepEqual((await list(w.backend, adminCall(), nodeMetrics, {})).items, []);
  assert.deepEqual((await list(w.backend, adminCall(), podMetrics, {})).items, []);
  await fails(
    list(w.backend, callAs("someone"), nodeMetrics, {}),
    "permissionDenied",
    /nodes.metrics/,
  );
});
