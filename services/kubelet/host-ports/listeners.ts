/** Who listens on this machine, from the kernel's tables (proc(5), /proc/net/tcp and its like). */
import { readFile } from "node:fs/promises";

export type PortProtocol = "TCP" | "UDP";

const tables: Readonly<Record<PortProtocol, readonly string[]>> = {
  TCP: ["/proc/net/tcp", "/proc/net/tcp6"],
  UDP: ["/proc/net/udp", "/proc/net/udp6"],
};
/** A listening TCP socket, and an unconnected UDP one. */
const states: Readonly<Record<PortProtocol, string>> = { TCP: "0A", UDP: "07" };

/** `address:port` of every listener; `*:port` where it listens on all addresses. */
export async function listeners(protocol: PortProtocol): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const path of tables[protocol]) {
    const text = await readFile(path, "latin1").catch(() => ""); // a kernel without IPv6
    for (const line of text.split("\n").slice(1)) {
      const [, local = "", , state] = line.trim().split(/\s+/);
      if (state === states[protocol]) found.add(addressOf(local));
    }
  }
  return found;
}

/** `0100007F:1F90` is 127.0.0.1:8080: the address is a number of the machine's byte order. */
function addressOf(hex: string): string {
  const [address = "", port = ""] = hex.split(":");
  const number = Number.parseInt(port, 16);
  if (/^0+$/.test(address)) return `*:${number}`;
  const last = address.slice(-8);
  const bytes = [6, 4, 2, 0].map((at) => Number.parseInt(last.slice(at, at + 2), 16));
  // Of IPv6 only the addresses that stand for IPv4 ones matter: pods have no others.
  return `${bytes.join(".")}:${number}`;
}
