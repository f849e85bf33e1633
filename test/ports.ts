/**
 * Ports for servers that are told their port before they start. They lie below those that the
 * system hands out by itself (from 32,768 on Linux, 49,152 elsewhere): no process takes one, as a
 * connection, between its choice and its use.
 */
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

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

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await once(server.listen(port, "127.0.0.1"), "listening");
  } catch {
    return false;
  }
  await once(server.close(), "close");
  return true;
}
