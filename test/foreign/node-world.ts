/** One node on an apiserver in this process: a kubelet with real processes, and a kubeconfig. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRpcServer } from "../../ha/rpc/mod.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { KubeletService } from "../../proto/gen/kubelet.ts";
import { connectClient } from "../../services/client/mod.ts";
import { gitVersion } from "../../services/kinds/mod.ts";
import { kubeletHandlers } from "../../services/kubelet/handlers.ts";
import { kubeletHttp } from "../../services/kubelet/http.ts";
import { createProcessRuntime, Kubelet } from "../../services/kubelet/mod.ts";
import { measureMachine } from "../../services/kubelet/node/health.ts";
import { quietLog } from "../apiserver/harness.ts";
import { eventually } from "../patience.ts";
import { type RestWorld, restWorld } from "../rest/harness.ts";
import { kubeconfigFile } from "../rest/kubeconfig.ts";

export interface NodeWorld extends AsyncDisposable {
  readonly world: RestWorld;
  readonly kubeconfig: string;
  /** For the test's own files. */
  readonly directory: string;
}

/** No scheduler runs: pods name the node `n1` themselves. */
export async function nodeWorld(options?: Parameters<typeof restWorld>[0]): Promise<NodeWorld> {
  const world = await restWorld(options);
  const directory = await mkdtemp(join(tmpdir(), "trireme-node-"));
  const config = await kubeconfigFile(world);
  const { cert, key } = world.admin;
  const client = connectClient({
    servers: [`127.0.0.1:${world.server.port}`],
    tls: { ca: world.ca, cert, key },
    log: quietLog,
  });
  const runtime = createProcessRuntime({ root: join(directory, "runtime"), log: quietLog });
  await runtime.load();
  let kubelet: Kubelet | undefined;
  const source = {
    runtime,
    nodeName: "n1",
    pod: (space: string, name: string) => kubelet?.pod(space, name),
    pods: () => kubelet?.pods() ?? [],
    configuration: { maxPods: 110 },
    stats: () => kubelet?.stats(),
    cpuMillisTotal: () => kubelet?.cpuMillisTotal() ?? 0,
    machine: () => measureMachine(directory),
  };
  const server = createRpcServer({
    log: quietLog,
    http1: kubeletHttp(source, false, quietLog),
  });
  server.addService(KubeletService, kubeletHandlers(source, false));
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  kubelet = new Kubelet({
    ...{ client, runtime, clock: productionClock, random: Math.random, log: quietLog },
    dataDir: directory,
    node: {
      ...{ nodeName: "n1", nodeIP: "127.0.0.1", port, maxPods: 110, labels: {}, taints: [] },
      ...{ reserved: {}, runtimeVersion: "process://1", kubeletVersion: gitVersion() },
    },
  });
  await kubelet.start();
  // What the node-ipam controller would do.
  await client.nodes.patch("n1", undefined, "merge", { spec: { podCIDR: "127.64.77.0/24" } });
  await eventually("the node to be ready", async () => {
    const { status } = await client.nodes.get("n1");
    return status?.conditions?.some((each) => each.type === "Ready" && each.status === "True");
  });
  const running = kubelet;
  return {
    ...{ world, kubeconfig: config.file, directory },
    async [Symbol.asyncDispose]() {
      for (const { metadata } of (await client.pods.list()).items) {
        const { name = "", namespace = "" } = metadata ?? {};
        await client.pods.delete(name, namespace, { gracePeriodSeconds: 0 });
      }
      await eventually("the pods to be gone", () => runtime.sandboxes().length === 0);
      await running.close();
      await server.close();
      client.close();
      await config[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
