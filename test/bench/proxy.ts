/**
 * kube-proxy: CPU of a request of a kilobyte and its answer through the userspace relay (all threads
 * of its process), on connections that stay and on one connection a request; and in nftables mode what one more service
 * beside others takes (as root with nft; in a network namespace of its own).
 *
 *   npm run bench -- proxy [--services 2000] [--requests 50000] [--only relay|nftables]
 */
import { fork, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { AffinityTable } from "../../services/kube-proxy/affinity.ts";
import { NftablesProxy } from "../../services/kube-proxy/nftables/mod.ts";
import { runProgram } from "../../services/kube-proxy/nftables/programs.ts";
import { ServiceProxy } from "../../services/kube-proxy/proxy.ts";
import { type Route, routesOf } from "../../services/kube-proxy/routes.ts";
import { ruleOf } from "../kube-proxy/rule.ts";
import { silent } from "../kubelet/support.ts";

const messageBytes = 1_024;
const serviceIP = "127.47.0.9";

export async function run(args: readonly string[]): Promise<void> {
  const { services, requests, only } = parse(args);
  if (only !== "nftables") await measureRelay(requests);
  if (only !== "relay") await measureNftables(services);
}

async function measureRelay(requests: number): Promise<void> {
  const peers = fork(fileURLToPath(import.meta.url), ["peers"]);
  const [port] = (await once(peers, "message")) as [number];
  const proxy = new ServiceProxy({
    ...{ clock: productionClock, log: silent, random: () => 0 },
    context: { affinity: new AffinityTable(), nodeOfAddress: () => undefined },
    bindFailed: (_, message) => {
      throw new Error(message);
    },
  });
  const rule = ruleOf(serviceIP, port, [{ ip: "127.0.0.1", port }]);
  await proxy.apply(new Map([[rule.key, rule]]));
  const load = async (asked: Load): Promise<void> => {
    peers.send(asked);
    await once(peers, "message");
  };
  for (const [name, oneEach, share] of [
    ["connections that stay", false, 1],
    ["a connection each", true, 0.1],
  ] as const) {
    const count = Math.ceil(requests * share);
    await load({ count: Math.ceil(count / 10), oneEach });
    const begin = process.cpuUsage();
    const before = performance.now();
    await load({ count, oneEach });
    const { user, system } = process.cpuUsage(begin);
    const rate = Math.round((count / (performance.now() - before)) * 1_000);
    const [all, kernel] = [user + system, system].map((micros) => (micros / count).toFixed(1));
    console.log(`relay, ${name}: ${all} µs CPU a request (kernel ${kernel}), ${rate} requests/s`);
  }
  peers.kill();
  await once(peers, "exit");
  proxy.close();
}

interface Load {
  readonly count: number;
  readonly oneEach: boolean;
}

/** Clients and endpoint: one process, that the relay's, which is measured, has a core to itself. */
async function playPeers(): Promise<void> {
  const message = Buffer.alloc(messageBytes, "b");
  const server = createServer({ noDelay: true }, (socket) => {
    let received = 0;
    socket.on("error", () => socket.destroy());
    socket.on("data", (piece) => {
      received += piece.length;
      for (; received >= messageBytes; received -= messageBytes) socket.write(message);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  process.on("message", (asked: Load) => void play(port, asked).then(() => process.send?.("done")));
  process.send?.(port);
}

async function play(port: number, { count, oneEach }: Load): Promise<void> {
  let left = count;
  const one = async (): Promise<void> => {
    while (left > 0) {
      const socket = connect({ host: serviceIP, port, noDelay: true });
      await once(socket, "connect");
      do {
        left -= 1;
        await exchange(socket);
      } while (!oneEach && left > 0);
      socket.end();
    }
  };
  await Promise.all(Array.from({ length: 16 }, one));
}

const request = Buffer.alloc(messageBytes, "a");

function exchange(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    let received = 0;
    const hear = (piece: Buffer) => {
      received += piece.length;
      if (received < messageBytes) return;
      socket.off("data", hear);
      resolve();
    };
    socket.on("data", hear);
    socket.write(request);
  });
}

async function measureNftables(services: number): Promise<void> {
  const name = `bench${process.pid}`;
  const made = spawnSync("ip", ["netns", "add", name], { encoding: "utf8" });
  if (made.status !== 0) {
    console.log(`nftables: left out, it needs root and network namespaces (${made.stderr ?? ""})`);
    return;
  }
  try {
    await measureTable(name, services);
  } finally {
    spawnSync("ip", ["netns", "del", name]);
  }
}

async function measureTable(name: string, services: number): Promise<void> {
  let refusal: string | undefined;
  const proxy = new NftablesProxy({
    run: async (program, args, input) => {
      const inside = [`--net=/var/run/netns/${name}`, program, ...args];
      const result = await runProgram("nsenter", inside, input);
      if (result.code !== 0) refusal = result.stderr;
      return result;
    },
    ...{ family: "IPv4", clock: productionClock, log: silent, nodePortAddresses: ["192.0.2.1"] },
  });
  const scope = {
    place: { node: "n1", zone: undefined },
    nodesHere: new Set(["n1"]),
    clusterRange: "10.244.0.0/16",
  };
  const routes: Route[] = Array.from({ length: services }, (_, i) => serviceRoutes(i)).flat();
  const timed = async (): Promise<number> => {
    const begin = performance.now();
    await proxy.apply([...routes], scope);
    return performance.now() - begin;
  };
  const first = await timed();
  if (refusal !== undefined) {
    console.log(`nftables: left out, ${refusal}`);
    return;
  }
  console.log(`nftables: ${services} services of 2 endpoints: ${first.toFixed(0)} ms`);
  const more: number[] = [];
  for (let i = 0; i < 10; i++) {
    routes.push(...serviceRoutes(services + i));
    more.push(await timed());
  }
  const sorted = more.toSorted((a, b) => a - b);
  const [least = 0] = sorted;
  const median = sorted[sorted.length >> 1] ?? 0;
  console.log(`nftables: one more: ${median.toFixed(1)} ms (median; least ${least.toFixed(1)})`);
  await proxy.close();
}

function serviceRoutes(i: number): readonly Route[] {
  const clusterIP = `10.96.${i >> 8}.${i & 255}`;
  const endpoints = [1, 2].map((host) => ({
    addresses: [`10.244.${(i >> 7) & 255}.${((i << 1) & 254) + host - 1}`],
    nodeName: `n${host}`,
  }));
  const ports = [{ name: "", port: 8_080, protocol: "TCP" }];
  const service = {
    metadata: { namespace: "default", name: `service-${i}` },
    spec: { clusterIP, ports: [{ port: 80 }] },
  };
  return routesOf(service, [{ addressType: "IPv4", endpoints, ports }]);
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      services: { type: "string", default: "2000" },
      requests: { type: "string", default: "50000" },
      only: { type: "string" },
    },
  });
  const number = (flag: string, text: string, most: number): number => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw new Error(`--${flag} ${text}: must be a whole number in 1..${most}`);
  };
  if (values.only !== undefined && !["relay", "nftables"].includes(values.only)) {
    throw new Error(`--only ${values.only}: must be relay or nftables`);
  }
  return {
    services: number("services", values.services, 20_000),
    requests: number("requests", values.requests, 10_000_000),
    only: values.only,
  };
}

if (process.argv[2] === "peers") await playPeers();
