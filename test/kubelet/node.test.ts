import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { credentials } from "@grpc/grpc-js";
import { createRpcServer } from "../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Node, Pod, PodSpec } from "../../proto/gen/core.ts";
import { KubeletClient, KubeletService } from "../../proto/gen/kubelet.ts";
import { authorizePeer, kubeletHandlers } from "../../services/kubelet/handlers.ts";
import { openLogs } from "../../services/kubelet/logs.ts";
import { AddressPool } from "../../services/kubelet/node/addresses.ts";
import { admit } from "../../services/kubelet/node/admission.ts";
import {
  nodeObject,
  nodeStatus,
  parseLabels,
  parseReserved,
  parseTaints,
} from "../../services/kubelet/node/node-status.ts";
import { registerNode } from "../../services/kubelet/node/registration.ts";
import { probeRunner } from "../../services/kubelet/pod/probe-actions.ts";
import { FakeRuntime } from "./fake-runtime.ts";
import { FakeClock, silent } from "./support.ts";

describe("pod addresses", () => {
  test("all of a range, each once, released ones last", () => {
    const pool = new AddressPool("127.64.3.0/29");
    const taken = ["a", "b", "c", "d", "e", "f"].map((uid) => pool.take(uid));
    assert.deepEqual(
      taken,
      [1, 2, 3, 4, 5, 6].map((n) => `127.64.3.${n}`),
    );
    assert.equal(pool.take("g"), undefined);
    assert.equal(pool.take("a"), "127.64.3.1", "the same pod keeps its address");
    pool.release("a");
    pool.release("d");
    assert.deepEqual([pool.take("g"), pool.take("h")], ["127.64.3.1", "127.64.3.4"]);
  });
  test("addresses in use are left alone", () => {
    const pool = new AddressPool("127.64.3.0/24");
    pool.hold("old", "127.64.3.1");
    assert.equal(pool.take("new"), "127.64.3.2");
    assert.equal(pool.take("old"), "127.64.3.1");
  });
  test("nonsense is refused", () => {
    const four = ["", "127.64.3.0", "300.0.0.0/24", "127.0.0.0/31", "127.0.0.0/24/24"];
    for (const bad of [...four, "fd00::/127", "fd00::", "fe80::1%lo/64", "fd00::/8"]) {
      assert.throws(() => new AddressPool(bad), /podCIDR/, bad);
    }
  });
  test("of IPv6, too", () => {
    const pool = new AddressPool("fd00:64:0:3::/126");
    assert.equal(pool.first, "fd00:64:0:3::1");
    assert.deepEqual(
      ["a", "b", "c"].map((uid) => pool.take(uid)),
      ["fd00:64:0:3::1", "fd00:64:0:3::2", undefined],
    );
    pool.release("a");
    assert.equal(pool.take("c"), "fd00:64:0:3::1");
    const large = new AddressPool("fd00:64:0:4::/64");
    large.hold("old", "fd00:64:0:4::1");
    assert.equal(large.take("new"), "fd00:64:0:4::2");
  });
});

describe("admission on the node", () => {
  const pod = (spec: PodSpec): Pod => ({ spec });
  const needs = (cpu: string, memory = "0"): PodSpec => ({
    containers: [{ resources: { requests: { cpu, memory } } }],
  });
  const facts = () => ({
    allocatable: { cpu: 1000, memory: 1000, "ephemeral-storage": 10, pods: 2 },
    node: { metadata: { labels: { zone: "a" } } },
    pressures: [] as string[],
  });
  const table: [string, PodSpec, PodSpec[], string | undefined][] = [
    ["fits", needs("400m"), [needs("600m")], undefined],
    ["cpu", needs("401m"), [needs("600m")], "OutOfcpu"],
    ["memory", needs("0", "1001"), [], "OutOfmemory"],
    ["asks for nothing on a full node", needs("0"), [needs("1")], undefined],
    ["pods", needs("0"), [needs("0"), needs("0")], "OutOfpods"],
    [
      "host port",
      { containers: [{ ports: [{ hostPort: 80, containerPort: 8 }] }] },
      [{ hostNetwork: true, containers: [{ ports: [{ containerPort: 80 }] }] }],
      "NodePorts",
    ],
    [
      "host port of a sidecar",
      { containers: [{ ports: [{ hostPort: 80, containerPort: 8 }] }] },
      [{ initContainers: [{ restartPolicy: "Always", ports: [{ hostPort: 80 }] }] }],
      "NodePorts",
    ],
    [
      "host port of an init container that ends",
      { containers: [{ ports: [{ hostPort: 80, containerPort: 8 }] }] },
      [{ initContainers: [{ ports: [{ hostPort: 80 }] }] }],
      undefined,
    ],
    [
      "one host port on two addresses",
      { containers: [{ ports: [{ hostPort: 80, hostIP: "127.0.0.1" }] }] },
      [{ containers: [{ ports: [{ hostPort: 80, hostIP: "127.0.0.2" }] }] }],
      undefined,
    ],
    [
      "ephemeral storage",
      { containers: [{ resources: { requests: { "ephemeral-storage": "11" } } }] },
      [],
      "OutOfephemeral-storage",
    ],
    [
      "an extended resource the node does not know",
      { containers: [{ resources: { requests: { "example.com/gpu": "1" } } }] },
      [],
      undefined,
    ],
    [
      "same container port on pod addresses",
      { containers: [{ ports: [{ containerPort: 80 }] }] },
      [{ containers: [{ ports: [{ containerPort: 80 }] }] }],
      undefined,
    ],
    ["selector", { nodeSelector: { disk: "ssd" } }, [], "NodeAffinity"],
    ["selector that matches", { nodeSelector: { zone: "a" } }, [], undefined],
  ];
  for (const [name, spec, others, reason] of table) {
    test(name, () => {
      const rejection = admit(pod(spec), others.map(pod), facts());
      assert.equal(rejection?.reason, reason);
    });
  }
  test("under pressure only what it does not touch is taken", () => {
    const verdict = (pressures: string[], spec: PodSpec) =>
      admit(pod(spec), [], { ...facts(), pressures })?.message;
    const plain = { containers: [{ name: "c" }] };
    const tolerations = [{ key: "node.kubernetes.io/memory-pressure", operator: "Exists" }];
    assert.equal(verdict([], plain), undefined);
    assert.equal(verdict(["MemoryPressure"], plain), "The node had condition: [MemoryPressure]. ");
    assert.equal(verdict(["MemoryPressure"], needs("100m")), undefined);
    assert.equal(verdict(["MemoryPressure"], { ...plain, tolerations }), undefined);
    const both = ["MemoryPressure", "DiskPressure"];
    assert.equal(
      verdict(both, { ...needs("100m"), tolerations }),
      "The node had condition: [MemoryPressure DiskPressure]. ",
    );
    assert.equal(verdict(both, { ...plain, priority: 2_000_000_000 }), undefined);
  });
  test("the message has the numbers", () => {
    const rejection = admit(pod(needs("500m")), [pod(needs("600m"))], facts());
    assert.equal(
      rejection?.message,
      "Node didn't have enough resource: cpu, requested: 500, used: 600, capacity: 1000",
    );
  });
});

describe("node object and status", () => {
  const options = {
    nodeName: "n1",
    nodeIP: "127.0.0.1",
    port: 10250,
    maxPods: 110,
    labels: parseLabels("zone=a,empty=", "--node-labels"),
    taints: parseTaints("k=v:NoSchedule,only:NoExecute", "--register-with-taints"),
    capacityCpu: "4",
    capacityMemory: "8Gi",
    reserved: parseReserved("cpu=500m,memory=1Gi", "--system-reserved"),
    runtimeVersion: "process://1",
    kubeletVersion: "v1",
  };
  test("capacity less what is reserved is allocatable", () => {
    const ready = { type: "Ready", status: "True" };
    const status = nodeStatus(options, [ready], []);
    assert.deepEqual(status.capacity, { cpu: "4", memory: "8Gi", pods: "110" });
    assert.deepEqual(status.allocatable, { cpu: "3500m", memory: "7Gi", pods: "110" });
    const disk = { ...options, ephemeralStorageBytes: 2 ** 20 };
    const full = nodeStatus({ ...disk, reserved: { "ephemeral-storage": "1Ki" } }, [], []);
    assert.equal(full.capacity?.["ephemeral-storage"], "1Mi");
    assert.equal(full.allocatable?.["ephemeral-storage"], "1023Ki");
    assert.equal(status.daemonEndpoints?.kubeletEndpoint?.Port, 10250);
    assert.deepEqual(status.conditions, [ready]);
    assert.deepEqual(nodeStatus({ ...options, secondNodeIP: "::1" }, [], []).addresses, [
      { type: "InternalIP", address: "127.0.0.1" },
      { type: "InternalIP", address: "::1" },
      { type: "Hostname", address: "n1" },
    ]);
  });
  test("images are reported, the largest first, and no more than upstream's fifty", () => {
    const images = Array.from({ length: 60 }, (_, index) => ({
      id: `id-${index}`,
      names: Array.from({ length: 7 }, (_, name) => `image-${index}:${name}`),
      sizeBytes: index,
      usedAt: 0,
    }));
    const reported = nodeStatus(options, [], images).images ?? [];
    assert.equal(reported.length, 50);
    assert.deepEqual(reported[0], {
      names: ["image-59:0", "image-59:1", "image-59:2", "image-59:3", "image-59:4"],
      sizeBytes: 59,
    });
  });
  test("labels and taints; bad flags name themselves", () => {
    const node = nodeObject(options);
    assert.equal(node.metadata?.labels?.["kubernetes.io/hostname"], "n1");
    assert.deepEqual(
      [node.metadata?.labels?.["zone"], node.metadata?.labels?.["empty"]],
      ["a", ""],
    );
    assert.deepEqual(node.spec?.taints, [
      { key: "k", value: "v", effect: "NoSchedule" },
      { key: "only", effect: "NoExecute" },
    ]);
    assert.throws(() => parseTaints("x:Never", "--t"), /--t: "x:Never"/);
    assert.throws(() => parseLabels("x", "--l"), /--l: "x"/);
    assert.throws(() => parseReserved("disk=1", "--r"), /--r: "disk=1"/);
  });
  test("registration creates, completes labels, and leaves the rest to the cluster", async () => {
    const calls: string[] = [];
    let stored: Node | undefined;
    const nodes = {
      get: async () => {
        if (stored === undefined) throw new StatusError(Code.notFound, "none");
        return stored;
      },
      create: async (node: Node) => {
        if (stored !== undefined) {
          throw new StatusError(Code.alreadyExists, "there", { reason: "AlreadyExists" });
        }
        calls.push("create");
        stored = node;
        return node;
      },
      patch: async (_name: string, _ns: string | undefined, _type: unknown, patch: unknown) => {
        calls.push(JSON.stringify(patch));
        return stored as Node;
      },
    };
    await registerNode(nodes, nodeObject(options), silent);
    await registerNode(nodes, nodeObject(options), silent);
    assert.deepEqual(calls, ["create"]);
    await registerNode(nodes, nodeObject({ ...options, labels: { new: "1" } }), silent);
    assert.match(calls[1] ?? "", /"new":"1"/);
    assert.doesNotMatch(calls[1] ?? "", /taints/);
  });
});

const sandbox = {
  ...{ uid: "u", namespace: "d", name: "p", hostname: "p" },
  ...{ address: "127.64.0.1", hostNetwork: false },
};

describe("kubelet API", () => {
  const peer = (commonName: string, ...organizations: string[]) => ({ commonName, organizations });
  test("only masters and administrators may call", () => {
    authorizePeer(peer("system:kube-apiserver"));
    authorizePeer(peer("admin", "system:masters"));
    assert.throws(() => authorizePeer(peer("system:node:n1", "system:nodes")), {
      code: Code.permissionDenied,
    });
    assert.throws(() => authorizePeer(undefined), {
      code: Code.unauthenticated,
    });
  });
  test("logs of the right run, and clear refusals", async () => {
    const clock = new FakeClock();
    const runtime = new FakeRuntime(clock);
    const pod: Pod = {
      metadata: { uid: "u", name: "p" },
      spec: { containers: [{ name: "a" }, { name: "b" }] },
    };
    const source = {
      runtime,
      pod: (_: string, name: string) => (name === "p" ? pod : undefined),
      stats: () => undefined,
    };
    const open = (request: object) =>
      openLogs(source, { name: "p", ...request }, new AbortController().signal);
    assert.throws(() => open({ name: "x" }), { code: Code.notFound });
    assert.throws(() => open({}), /choose one of: \[a b\]/);
    assert.throws(() => open({ container: "z" }), /container z is not valid for pod p/);
    assert.throws(() => open({ container: "a" }), /waiting to start/);
    assert.throws(() => open({ container: "a", limitBytes: 0 }), /limitBytes: 0/);
    const both = { sinceSeconds: 1, sinceTime: "2026-01-01T00:00:00Z" };
    assert.throws(() => open({ container: "a", ...both }), /at most one of/);
    assert.throws(() => open({ container: "a", sinceTime: "noon" }), /"noon" is no time/);
    assert.throws(() => open({ container: "a", tailLines: -1 }), /tailLines: -1/);
    const config = {
      podUid: "u",
      name: "a",
      attempt: 0,
      image: "",
      command: ["x"],
      env: {},
      args: [],
      mounts: [],
      specHash: "",
    };
    await runtime.runSandbox(sandbox);
    runtime.pulled.add("");
    await runtime.startContainer(await runtime.createContainer(config));
    const pieces: string[] = [];
    for await (const piece of open({ container: "a" })) pieces.push(Buffer.from(piece).toString());
    assert.deepEqual(pieces, ["log\n"]);
    assert.throws(() => open({ container: "a", previous: true }), /previous terminated container/);
  });
});

describe("kubelet service", () => {
  test("streams logs over gRPC, and errors arrive with their code", async (t) => {
    const runtime = new FakeRuntime(new FakeClock());
    const pod: Pod = { metadata: { uid: "u", name: "p" }, spec: { containers: [{ name: "a" }] } };
    const config = { podUid: "u", name: "a", attempt: 0, image: "", env: {}, specHash: "" };
    await runtime.runSandbox(sandbox);
    runtime.pulled.add("");
    const id = await runtime.createContainer({ ...config, command: ["x"], args: [], mounts: [] });
    await runtime.startContainer(id);
    const server = createRpcServer({ log: silent });
    const source = {
      runtime,
      pod: (_: string, name: string) => (name === "p" ? pod : undefined),
      stats: () => undefined,
    };
    server.addService(KubeletService, kubeletHandlers(source, false));
    const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
    const client = new KubeletClient(`127.0.0.1:${port}`, credentials.createInsecure());
    t.after(async () => {
      client.close();
      await server.close();
    });
    const read = async (name: string) => {
      let text = "";
      for await (const chunk of client.logs({ name, namespace: "d" })) text += chunk.data;
      return text;
    };
    assert.equal(await read("p"), "log\n");
    await assert.rejects(read("other"), { code: Code.notFound });
  });
});

describe("probe actions", () => {
  test("http and tcp against a real server", async (t) => {
    const server = createServer((request, response) => {
      if (request.url === "/slow") return;
      if (request.url === "/moved") response.writeHead(302, { location: "/ok" });
      else response.writeHead(request.url === "/ok" ? 200 : 500);
      response.end("body");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const container = { name: "c", ports: [{ name: "web", containerPort: port }] };
    const target = { pod: {}, podIP: "127.0.0.1", container, id: "x" };
    const run = probeRunner(new FakeRuntime(new FakeClock()));
    const http = (path: string, timeoutMillis = 5_000) =>
      run({ httpGet: { path, port: "web" } }, target, timeoutMillis);
    assert.equal((await http("/ok")).ok, true);
    assert.equal((await http("/moved")).ok, true);
    assert.deepEqual(await http("/bad"), {
      ok: false,
      message: "HTTP probe failed with statuscode: 500",
    });
    assert.match(
      (await http("/slow", 50)).message,
      /^Get "http:.*slow": context deadline exceeded/,
    );
    assert.equal((await run({ tcpSocket: { port } }, target, 5_000)).ok, true);
    assert.equal((await run({ tcpSocket: { port: "nope" } }, target, 5_000)).ok, false);
    assert.equal((await run({ grpc: { port } }, target, 2_000)).ok, false);
    assert.equal((await run({}, target, 100)).ok, false);
    const six = { ...target, podIP: "::1" };
    const { message } = await run({ httpGet: { path: "/", port: 1 } }, six, 5_000);
    assert.match(message, /^Get "http:\/\/\[::1\]:1\/": /);
  });
});
