/**
 * A node with pods and a neighbour, each in a network namespace of its own: the node forwards
 * between them, as a node of a cluster does, and its kernel takes rules of nftables.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import type { RunProgram } from "../../services/kube-proxy/nftables/programs.ts";
import { runProgram } from "../../services/kube-proxy/nftables/programs.ts";
import { makeLonely, removeMachines, within } from "./namespaces.ts";

export interface Host {
  readonly name: string;
  readonly address: string;
  /** Of IPv6. */
  readonly address6: string;
}

/** What a client got: the name of who answered, and the client's address as that one saw it. */
export interface Reply {
  readonly text: string;
  readonly error: string;
}

const server = `
const [name, ip, ip6, ...ports] = process.argv.slice(1);
const net = require("node:net"), dgram = require("node:dgram");
for (const port of ports.map(Number)) {
  for (const [own, type] of [[ip, "udp4"], [ip6, "udp6"]]) {
    net.createServer((s) => { s.on("error", () => {}); s.end(name + " " + s.remoteAddress); }).listen(port, own);
    const u = dgram.createSocket(type);
    u.on("message", (m, from) => u.send(name + " " + from.address, from.port, from.address));
    u.bind(port, own);
  }
}
setTimeout(() => console.log("ready"), 50);
process.stdin.on("end", () => process.exit()).resume();
`;

/** Asks what it is told, a line each: protocol, address, port, source port or 0. */
const client = `
const net = require("node:net"), dgram = require("node:dgram");
const tcp = (ip, port) => new Promise((done) => {
  let text = "";
  const s = net.connect({ host: ip, port, timeout: 700 });
  s.on("data", (d) => (text += d));
  s.on("timeout", () => { s.destroy(); done({ text, error: "ETIMEDOUT" }); });
  s.on("error", (e) => done({ text, error: e.code }));
  s.on("end", () => done({ text, error: "" }));
});
const udp = (ip, port, from) => new Promise((done) => {
  const s = dgram.createSocket(net.isIPv6(ip) ? "udp6" : "udp4");
  const end = (text, error) => { clearTimeout(timer); s.close(); done({ text, error }); };
  const timer = setTimeout(() => end("", "ETIMEDOUT"), 700);
  s.on("error", (e) => end("", e.code));
  s.bind(from, () => s.connect(port, ip, () => s.send("x")));
  s.on("message", (m) => end(m.toString(), ""));
});
require("node:readline").createInterface({ input: process.stdin }).on("line", async (line) => {
  const [protocol, ip, port, from] = line.split(" ");
  const reply = await (protocol === "tcp" ? tcp(ip, +port) : udp(ip, +port, +from));
  console.log(JSON.stringify(reply));
}).on("close", () => process.exit());
console.log("ready");
`;

export class ServiceNetwork {
  readonly node: Host;
  readonly #prefix: string;
  readonly #names: string[] = [];
  readonly #children: ChildProcess[] = [];
  readonly #clients = new Map<string, Asker>();

  /** `prefix` begins the names of the namespaces, few letters long. */
  constructor(prefix: string) {
    this.#prefix = prefix;
    this.node = { name: `${prefix}node`, address: "10.77.0.1", address6: "fd77::1" };
    this.#make(this.node.name);
    this.inNode("sysctl", "-q", "-w", "net.ipv4.ip_forward=1");
    this.inNode("sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1");
    this.inNode("ip", "address", "add", `${this.node.address}/32`, "dev", "lo");
    this.inNode("ip", "address", "add", `${this.node.address6}/128`, "dev", "lo");
  }

  /** With a link of its own to the node, over which it reaches everything. */
  addHost(name: string, index: number): Host {
    const full = `${this.#prefix}${name}`;
    const address = `10.77.${index}.2`;
    const address6 = `fd77:${index}::2`;
    const gateway = `10.77.${index}.1`;
    const gateway6 = `fd77:${index}::1`;
    this.#make(full);
    const pair = ["type", "veth", "peer", "name", "eth0", "netns", full];
    run("ip", "-n", this.node.name, "link", "add", `v${index}`, ...pair);
    this.inNode("ip", "address", "add", `${gateway}/24`, "dev", `v${index}`);
    // Without waiting for a neighbour that has the same address.
    this.inNode("ip", "address", "add", `${gateway6}/64`, "dev", `v${index}`, "nodad");
    this.inNode("ip", "link", "set", `v${index}`, "up");
    run("ip", "-n", full, "address", "add", `${address}/24`, "dev", "eth0");
    run("ip", "-n", full, "address", "add", `${address6}/64`, "dev", "eth0", "nodad");
    run("ip", "-n", full, "link", "set", "eth0", "up");
    run("ip", "-n", full, "route", "add", "default", "via", gateway);
    run("ip", "-n", full, "route", "add", "default", "via", gateway6);
    // Somewhere to send to before a rule leads elsewhere.
    if (index === 1) {
      this.inNode("ip", "route", "add", "default", "via", address);
      this.inNode("ip", "route", "add", "default", "via", address6);
    }
    return { name: full, address, address6 };
  }

  /** Answers on these ports, TCP and UDP, with its name and the client's address. */
  async serve(host: Host, ports: readonly number[]): Promise<void> {
    const args = ["-e", server, host.name, host.address, host.address6, ...ports.map(String)];
    await this.#start(host.name, args);
  }

  async ask(
    from: Host,
    protocol: "tcp" | "udp",
    ip: string,
    port: number,
    sourcePort = 0,
  ): Promise<Reply> {
    let asker = this.#clients.get(from.name);
    if (asker === undefined) {
      asker = new Asker(await this.#start(from.name, ["-e", client]));
      this.#clients.set(from.name, asker);
    }
    return asker.ask(`${protocol} ${ip} ${port} ${sourcePort}`);
  }

  /** Runs a program with the node's network. */
  readonly runInNode: RunProgram = (name, args, input) =>
    runProgram("nsenter", within(this.node.name, [name, ...args]), input);

  inNode(...command: string[]): string {
    return run("nsenter", ...within(this.node.name, command));
  }

  close(): void {
    for (const child of this.#children) child.kill("SIGKILL");
    removeMachines(this.#names);
  }

  #make(name: string): void {
    removeMachines([name]);
    this.#names.push(name);
    makeLonely(name);
  }

  async #start(machine: string, args: readonly string[]): Promise<ChildProcess> {
    const child = spawn("nsenter", within(machine, [process.execPath, ...args]), {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#children.push(child);
    child.stdout?.setEncoding("utf8");
    await once(child.stdout ?? child, "data");
    return child;
  }
}

/** One question after another. */
class Asker {
  readonly #child: ChildProcess;
  #last: Promise<unknown> = Promise.resolve();

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  ask(line: string): Promise<Reply> {
    const reply = this.#last.then(async () => {
      this.#child.stdin?.write(`${line}\n`);
      const [text] = (await once(this.#child.stdout ?? this.#child, "data")) as [string];
      return JSON.parse(text) as Reply;
    });
    this.#last = reply;
    return reply;
  }
}

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}
