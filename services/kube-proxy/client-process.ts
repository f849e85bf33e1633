/**
 * Which pod a connection comes from, when its source address does not tell: processes of pods have
 * addresses of their own to listen on, but what they open comes from 127.0.0.1. On one machine the
 * kernel knows better: the client's socket belongs to a process, and a pod's process carries its
 * pod's address in its environment.
 */
import { readdir, readFile, readlink } from "node:fs/promises";

export interface SocketAddress {
  readonly ip: string;
  readonly port: number;
}

/**
 * The `POD_IP` of the process that opened the connection. Undefined: no pod's, another user's, gone
 * already, or not a Linux machine. Reads /proc, some milliseconds long: only for rules that ask.
 */
export async function podAddressOfClient(
  client: SocketAddress,
  server: SocketAddress,
): Promise<string | undefined> {
  const inode = await inodeOf(client, server);
  if (inode === undefined) return undefined;
  const names = await readdir("/proc").catch(() => []);
  for (const pid of names.filter((name) => /^\d+$/.test(name))) {
    const address = await podAddressOf(pid);
    if (address !== undefined && (await hasSocket(pid, inode))) return address;
  }
  return undefined;
}

/** The inode of the client's end, from the kernel's tables of connections. */
async function inodeOf(client: SocketAddress, server: SocketAddress): Promise<string | undefined> {
  for (const [file, mapped] of tables) {
    const ends = `${hexOf(client, mapped)} ${hexOf(server, mapped)} `;
    const text = await readFile(file, "latin1").catch(() => "");
    const at = text.indexOf(ends);
    if (at < 0) continue;
    // State, queues, timer, retransmissions, uid, timeout, inode.
    return text.slice(at + ends.length, at + ends.length + 160).split(/\s+/)[6];
  }
  return undefined;
}

const tables = [
  ["/proc/self/net/tcp", false],
  ["/proc/self/net/tcp6", true],
] as const;

/** As the kernel prints it: the address in the machine's byte order, x86's and ARM's. */
function hexOf({ ip, port }: SocketAddress, mapped: boolean): string {
  const hex = (value: number, digits: number) =>
    value.toString(16).toUpperCase().padStart(digits, "0");
  const address = ip
    .split(".")
    .toReversed()
    .map((part) => hex(Number(part), 2))
    .join("");
  return `${mapped ? "0000000000000000FFFF0000" : ""}${address}:${hex(port, 4)}`;
}

async function podAddressOf(pid: string): Promise<string | undefined> {
  const text = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
  const name = "POD_IP=";
  return text
    .split("\0")
    .find((each) => each.startsWith(name))
    ?.slice(name.length);
}

async function hasSocket(pid: string, inode: string): Promise<boolean> {
  const directory = `/proc/${pid}/fd`;
  for (const name of await readdir(directory).catch(() => [])) {
    const link = await readlink(`${directory}/${name}`).catch(() => "");
    if (link === `socket:[${inode}]`) return true;
  }
  return false;
}
