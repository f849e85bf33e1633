/** The real kubectl asks what nodes and pods use. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { eventually } from "../patience.ts";
import { kubectl } from "./kubectl-process.ts";
import { needs } from "./needs.ts";
import { type NodeWorld, nodeWorld } from "./node-world.ts";

const busy = `
apiVersion: v1
kind: Pod
metadata: {name: busy, labels: {app: busy}}
spec:
  nodeName: n1
  terminationGracePeriodSeconds: 0
  containers:
  - {name: spins, image: busybox, command: [sh, -c, "while :; do :; done"]}
  - {name: sleeps, image: busybox, command: [sleep, "1000"]}
`;

suite("kubectl top", needs("kubectl", "kubernetes-client"), () => {
  let node: NodeWorld;
  const run = (line: string, input?: string) =>
    kubectl(node.kubeconfig, line.split(" "), input === undefined ? {} : { input });
  const ok = async (line: string, input?: string): Promise<string> => {
    const { code, out, err } = await run(line, input);
    assert.equal(code, 0, `kubectl ${line}\n${out}\n${err}`);
    return out;
  };

  before(async () => {
    node = await nodeWorld();
    await ok("apply -f -", busy);
    await ok("wait --for=condition=Ready pod/busy --timeout=30s");
    await eventually("the pod to be measured", async () => (await run("top pod busy")).code === 0);
  });
  after(() => node[Symbol.asyncDispose]());

  test("nodes and pods, sorted, summed, by container", async () => {
    assert.match(
      await ok("top nodes"),
      /^NAME +CPU\(cores\) +CPU\(%\) +MEMORY\(bytes\) +MEMORY\(%\) *\nn1 +\d+m +\d+% +\d+Mi +\d+% *\n$/,
    );
    assert.match(await ok("top node n1 --no-headers"), /^n1 +\d+m/);
    const cores = /^busy +(\d+)m +\d+Mi *$/m.exec(await ok("top pods --sort-by=cpu"))?.[1];
    assert.ok(Number(cores) > 0, `${cores}m`);
    assert.match(await ok("top pod -A -l app=busy --sum"), /^default +busy +\d+m +\d+Mi/m);
    const each = await ok("top pod busy --containers --no-headers");
    assert.match(each, /^busy +sleeps +\d+m +\d+Mi *$/m);
    assert.match(each, /^busy +spins +[1-9]\d*m +\d+Mi *$/m);
  });

  test("what the kubelet tells through its node's proxy", async () => {
    const page = (path: string) => ok(`get --raw /api/v1/nodes/n1/proxy/${path}`);
    assert.equal(await page("healthz"), "ok");
    const pods = JSON.parse(await page("pods"));
    assert.deepEqual([pods.kind, pods.items[0]?.metadata.name], ["PodList", "busy"]);
    const summary = JSON.parse(await page("stats/summary"));
    assert.equal(summary.pods[0].podRef.name, "busy");
    assert.ok(summary.pods[0].containers[0].cpu.usageNanoCores > 0);
    assert.match(
      await page("metrics/resource"),
      /^container_memory_working_set_bytes\{.*"busy"\} /m,
    );
    assert.equal(JSON.parse(await page("configz")).kubeletconfig.maxPods, 110);
    assert.equal(await page("containerLogs/default/busy/spins?tailLines=1"), "");
    const nothing = await run("get --raw /api/v1/nodes/n1/proxy/nothing");
    assert.match(nothing.err, /could not find the requested resource/);
    const none = await run("get --raw /api/v1/nodes/none/proxy/healthz");
    assert.match(none.err, /nodes "none" not found/);
    assert.match(await ok("describe node n1"), /Ready +True +(?!Mon, 01 Jan 0001)\w+, /);
  });

  test("the resources behind it, as upstream's metrics server serves them", async () => {
    assert.match(
      await ok("get apiservice v1beta1.metrics.k8s.io"),
      /v1beta1\.metrics\.k8s\.io +Local +True/,
    );
    assert.match(await ok("get nodes.metrics.k8s.io"), /^NAME +CPU +MEMORY +WINDOW *\nn1 +/);
    const raw = await ok("get --raw /apis/metrics.k8s.io/v1beta1/namespaces/default/pods/busy");
    const { containers, window } = JSON.parse(raw);
    assert.deepEqual(
      containers.map(({ name }: { name: string }) => name),
      ["spins", "sleeps"],
    );
    assert.match(window, /^\d+(\.\d+)?s$/);
    const none = await run("top pod none");
    assert.equal(none.code, 1);
    assert.match(none.err, /podmetrics\.metrics\.k8s\.io "default\/none" not found/);
  });
});
