/**
 * A pod whose containers really run, the kubelet's handlers on a loopback port, and an apiserver's
 * verbs in front of them: what exec, attach, port-forward and logs are tested on.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Metadata } from "@grpc/grpc-js";
import { connect, createRpcServer } from "../../ha/rpc/mod.ts";
import type { Pod } from "../../proto/gen/core.ts";
import { PodsClient } from "../../proto/gen/core.ts";
import { KubeletService } from "../../proto/gen/kubelet.ts";
import type { Authenticator } from "../../services/apiserver/auth/authenticate.ts";
import type { Face } from "../../services/apiserver/faces/grpc/face.ts";
import { addTypedServices } from "../../services/apiserver/faces/grpc/typed.ts";
import { Liveness } from "../../services/apiserver/nodes/liveness.ts";
import { objectKey } from "../../services/apiserver/storage/keys.ts";
import { documentBody, update } from "../../services/apiserver/verbs/mod.ts";
import { kubeletHandlers } from "../../services/kubelet/handlers.ts";
import { createProcessRuntime } from "../../services/kubelet/runtime/process/mod.ts";
import type { ContainerConfig, ContainerRuntime } from "../../services/kubelet/runtime/types.ts";
import { adminCall, kind, make, pod, quietLog, type World, world } from "../apiserver/harness.ts";

/** Of the kubelet, low enough to be reached. */
export const streamLimits = { logFollowersMax: 8, sessionsMax: 12, forwardsMax: 12 };
export const podAddress = "127.64.9.77";

export interface StreamWorld extends AsyncDisposable {
  readonly world: World;
  readonly face: Face;
  readonly runtime: ContainerRuntime;
  /** Of the apiserver's gRPC port. */
  readonly address: string;
  /** A client whose calls are those of this user; default: an administrator. */
  pods(user?: string): { readonly client: PodsClient; readonly metadata: Metadata };
  /** Starts a container of the pod `web`; its spec must name it. Resolves to its id. */
  start(name: string, script: string, more?: Partial<ContainerConfig>): Promise<string>;
}

/** Users by the header `as`: `admin`, or any other without rights. */
const byHeader: Authenticator = {
  name: "test",
  authenticate(credentials) {
    const [name = "admin"] = credentials.header("as");
    return { name, groups: name === "admin" ? ["system:masters"] : [] };
  },
};

/** The pod `web` has the containers `main` and `side`; `solo` has one, `floating` no node. */
export async function streamWorld(): Promise<StreamWorld> {
  const dir = await mkdtemp(join(tmpdir(), "trireme-streams-"));
  const runtime = createProcessRuntime({ root: join(dir, "state"), log: quietLog });
  await runtime.load();
  await runtime.images.pull("busybox");
  const space = await world();
  const { backend } = space;
  const stopping = new AbortController();
  const found = (namespace: string, name: string): Pod | undefined => {
    const stored = backend.cache.of(kind("pod")).get(objectKey(kind("pod"), namespace, name));
    return stored?.document as unknown as Pod | undefined;
  };
  const kubelet = createRpcServer({ log: quietLog });
  kubelet.addService(
    KubeletService,
    kubeletHandlers({ runtime, pod: found, stats: () => undefined }, false, streamLimits),
  );
  const kubeletPort = (await kubelet.listen({ host: "127.0.0.1", port: 0 })).port;
  await makeObjects(space, kubeletPort);
  const liveness = new Liveness(backend, {});
  const face: Face = {
    backend,
    authenticators: [byHeader],
    heartbeats: liveness,
    kubeletTls: undefined,
    snapshot: undefined,
    stopping: stopping.signal,
  };
  const server = createRpcServer({ log: quietLog });
  addTypedServices(server, face);
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const client = connect(PodsClient, { addresses: [`127.0.0.1:${port}`] });
  const web = found("default", "web");
  const uid = web?.metadata?.uid ?? "";
  const sandbox = { uid, namespace: "default", name: "web", hostname: "web" };
  await runtime.runSandbox({ ...sandbox, address: podAddress, hostNetwork: false });
  const attempts = new Map<string, number>();
  return {
    world: space,
    face,
    address: `127.0.0.1:${port}`,
    runtime,
    pods(user = "admin") {
      const metadata = new Metadata();
      metadata.set("as", user);
      return { client, metadata };
    },
    async start(name, script, more = {}) {
      const attempt = attempts.get(name) ?? 0;
      attempts.set(name, attempt + 1);
      const id = await runtime.createContainer({
        podUid: uid,
        name,
        attempt,
        image: "busybox",
        command: ["sh", "-c", script],
        args: [],
        env: { COLOUR: "red" },
        mounts: [],
        specHash: "",
        ...more,
      });
      await runtime.startContainer(id);
      return id;
    },
    async [Symbol.asyncDispose]() {
      client.close();
      stopping.abort();
      await runtime.removeSandbox(uid);
      await server.close();
      await kubelet.close();
      await liveness.close();
      await space[Symbol.asyncDispose]();
      await runtime.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function makeObjects({ backend }: World, kubeletPort: number): Promise<void> {
  const node = {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "n1" },
    status: {
      addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
      daemonEndpoints: { kubeletEndpoint: { Port: kubeletPort } },
    },
  };
  await make(backend, node);
  const body = documentBody(node);
  await update(backend, adminCall(), kind("node"), { body, subresource: "status", typed: false });
  const command = ["sleep", "1000"];
  const containers = ["main", "side"].map((name) => ({ name, image: "busybox", command }));
  const initContainers = [{ name: "setup", image: "busybox", command }];
  await make(backend, pod("web", {}, { nodeName: "n1", containers, initContainers }));
  await make(backend, pod("solo", {}, { nodeName: "n1" }));
  await make(backend, pod("floating"));
}
