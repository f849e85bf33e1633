/** Machines with addresses of their own on this one: network namespaces that one bridge connects. */
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { needs } from "./needs.ts";

export interface Machine {
  /** Of its namespace. */
  readonly name: string;
  readonly address: string;
}

/** Options of a suite that needs namespaces; `prefix` begins the names of all of its own. */
export function needsNamespaces(prefix: string): { readonly skip: string | false } {
  const { skip } = needs("ip", "iproute2");
  return { skip: skip === false ? (obstacle(prefix) ?? false) : skip };
}

/** Why namespaces cannot be made here; undefined: they can. */
function obstacle(prefix: string): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  const probe = `${prefix}probe`;
  const { status, stderr } = spawnSync("ip", ["netns", "add", probe], { encoding: "utf8" });
  if (status !== 0) return `needs network namespaces: ${stderr ?? "no program ip"}`;
  ip("netns", "del", probe);
  return undefined;
}

/** The hub has the bridge, and its own address on it. */
export function makeMachines(hub: Machine, others: readonly Machine[]): void {
  makeLonely(hub.name);
  ip("-n", hub.name, "link", "add", "br0", "type", "bridge");
  ip("-n", hub.name, "address", "add", `${hub.address}/24`, "dev", "br0");
  ip("-n", hub.name, "link", "set", "br0", "up");
  for (const [i, { name, address }] of others.entries()) {
    makeLonely(name);
    const pair = ["type", "veth", "peer", "name", "eth0", "netns", name];
    ip("-n", hub.name, "link", "add", `p${i}`, ...pair);
    ip("-n", hub.name, "link", "set", `p${i}`, "master", "br0", "up");
    ip("-n", name, "address", "add", `${address}/24`, "dev", "eth0");
    ip("-n", name, "link", "set", "eth0", "up");
  }
}

/**
 * Cuts a machine off from all others, or connects it again. Its packets vanish both ways,
 * without an error: connections stay as they are. Within the machine all goes on.
 */
export function connectMachine(name: string, connected: boolean): void {
  const chain = (hook: string, which: string) =>
    `chain ${hook} { type filter hook ${hook} priority -300; ${which} eth0 drop; }`;
  const chains = [chain("prerouting", "iifname"), chain("postrouting", "oifname")].join("; ");
  // Made before it is deleted: it need not be there.
  const table = connected ? "delete table inet cut" : `table inet cut { ${chains}; }`;
  const input = `table inet cut {}\n${table}\n`;
  execFileSync("nsenter", within(name, ["nft", "-f", "-"]), { input });
}

/** A machine without any network but its own loopback. */
export function makeLonely(name: string): void {
  ip("netns", "add", name);
  ip("-n", name, "link", "set", "lo", "up");
}

/** Connects the machine with this one, and returns its address as seen from here. */
export function linkToMachine(name: string, link: string): string {
  const [here, there] = ["169.254.77.1", "169.254.77.2"];
  ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name);
  ip("address", "add", `${here}/30`, "dev", link);
  ip("link", "set", link, "up");
  ip("-n", name, "address", "add", `${there}/30`, "dev", "eth0");
  ip("-n", name, "link", "set", "eth0", "up");
  return there;
}

export function addRoute(name: string, route: readonly string[]): void {
  ip("-n", name, "route", "add", ...route);
}

/**
 * The programs of a machine: those in its namespace, and those that name its directory, as the
 * keepers of containers do, with all below them.
 */
export function processesOf(name: string, directory: string): readonly number[] {
  const inside = execFileSync("ip", ["netns", "pids", name], { encoding: "utf8" });
  const chosen = new Set(inside.split("\n").filter(Boolean).map(Number));
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const pid = Number(entry);
    try {
      const words = readFileSync(`/proc/${entry}/cmdline`, "latin1").split("\0");
      if (words.some((word) => word.startsWith(directory))) chosen.add(pid);
      const status = readFileSync(`/proc/${entry}/status`, "latin1");
      parents.set(pid, Number(/^PPid:\s*(\d+)$/m.exec(status)?.[1]));
    } catch {
      // It has ended.
    }
  }
  const belongs = (pid: number): boolean => {
    const parent = parents.get(pid);
    return chosen.has(pid) || (parent !== undefined && parent > 1 && belongs(parent));
  };
  return [...parents.keys()].filter((pid) => pid !== process.pid && belongs(pid));
}

export function removeMachines(names: readonly string[]): void {
  for (const name of names) spawnSync("ip", ["netns", "del", name]);
}

/** Arguments of `nsenter` that run a program on the machine. */
export function within(machine: string, command: readonly string[]): string[] {
  return [`--net=/var/run/netns/${machine}`, ...command];
}

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "pipe", "pipe"] });
}
