/**
 * How a proxy listens on an address that other proxies of the machine listen on too.
 *
 * Every proxy binds the address as an IPv4-mapped IPv6 one (`::ffff:127.32.0.10`), and the kernel
 * spreads connections over all of them. When one of them is frozen, the others also bind the plain
 * IPv4 address: Linux gives a connection to an IPv4 listener before any IPv6 one (`compute_score`
 * in net/ipv4/inet_hashtables.c and udp.c), so that the frozen proxy gets none any more, although
 * its sockets are still there. When all proxies are well again, the plain listeners close.
 */
import { isIPv4 } from "node:net";

export interface PortListener {
  /** Rejects when the address cannot be bound. */
  listen(): Promise<void>;
  /** Listens before every proxy that has not done so; rejects when the address cannot be bound. */
  standIn(): Promise<void>;
  /** Listens beside the others again; connections go on. */
  stepBack(): void;
  /** The endpoints have changed. */
  refresh(): void;
  /** Stops listening at once; connections may end within the drain time. */
  close(): void;
  /** Ends everything now. */
  destroy(): void;
}

/** Undefined: an IPv6 address, which has no such other form. */
export function mappedAddress(ip: string): string | undefined {
  return isIPv4(ip) ? `::ffff:${ip}` : undefined;
}

/** The machine has no IPv6 at all: the plain address must do, and nothing can stand in for it. */
export function isWithoutIPv6(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL";
}
