/** Who listens on this machine, from the kernel's tables (proc(5), /proc/net/tcp and its like). */
import { readFile } from "node:fs/promises";
import ipaddr from "ipaddr.js";
import { authorityOf } from "../pod/authority.ts";

export type PortProtocol = "TCP" | "UDP";

const tables: Readonly<Record<PortProtocol, readonly string[]>> = {
  TCP: ["/proc/net/tcp", "/proc/net/tcp6"],
  UDP: ["/proc/net/udp", "/proc/net/udp6"],
};
/** A listening TCP socket, and an unconnected UDP one. */
const states: Readonly<Record<PortProtocol, string>> = { TCP: "0A", UDP: "07" };

/**
 * `address:port` of every listener, with brackets around an address of IPv6. One that listens on all
 * addresses of IPv6 is there as `[::]:port` and `0.0.0.0:port`: it takes those of IPv4 too.
 */
export async function listeners(protocol: PortProtocol): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const path of tables[protocol]) {
    const text = await readFile(path, "latin1").catch(() => ""); // a kernel without IPv6
    for (const line of text.split("\n").slice(1)) {
      const [, local = "", , state] = line.trim().split(/\s+/);
      if (state !== states[protocol]) continue;
      const [hex = "", port = ""] = local.split(":");
      const number = Number.parseInt(port, 16);
      const address = addressOf(hex);
      found.add(authorityOf(address, number));
      if (address === "::") found.add(authorityOf("0.0.0.0", number));
    }
  }
  return found;
}

/** `0100007F` is 127.0.0.1: each four bytes are a number of the machine's byte order. */
function addressOf(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) =>
    [6, 4, 2, 0].map((at) => Number.parseInt(word.slice(at, at + 2), 16)),
  );
  // One of IPv6 that stands for one of IPv4 is that one.
  return ipaddr.process(ipaddr.fromByteArray(bytes).toString()).toString();
}
