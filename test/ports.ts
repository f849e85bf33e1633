/**
 * Ports for servers that are told their port before they start. They lie below those that the
 * system hands out by itself (from 32,768 on Linux, 49,152 elsewhere): no process takes one, as a
 * connection, between its choice and its use.
 */
import { randomInt } from "node:crypto";
import { ports } from "../services/cli/layout.ts";
import { isFree } from "../services/drill/world/free-ports.ts";

const lowest = 23_000;
const highest = 32_000;
const attempts = 100;

/** So many different ones that are free on loopback; rejects when it finds too few. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  for (let attempt = 0; ports.size < count; attempt++) {
    if (attempt === attempts * count) throw new Error(`no ${count} free ports on loopback`);
    const port = randomInt(lowest, highest);
    if (await isFree(port)) ports.add(port);
  }
  return [...ports];
}

export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return port as number;
}

/** Above its base, a cluster uses fewer; the last are for what a test itself adds to it. */
const portsOfCluster = 100;

/**
 * A base port for a whole local cluster, all of whose ports, and all up to a hundred above it, are
 * free on loopback.
 */
export async function freeBasePort(masters = 3, nodes = 3): Promise<number> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const basePort = randomInt(lowest + 1_000, highest - portsOfCluster);
    const own = ports({ dataDirectory: "", basePort, masters, nodes, ingress: true }).all();
    const above = Array.from({ length: portsOfCluster }, (_, offset) => basePort + offset);
    const free = await Promise.all([...new Set([...own, ...above])].map(isFree));
    if (!free.includes(false)) return basePort;
  }
  throw new Error("no free ports on loopback for a cluster");
}
