/**
 * An IPv4 address in the form of an IPv6 one. A server that binds `::ffff:127.32.0.10` gets what is
 * sent to 127.32.0.10, but only while no other socket has bound the plain address: Linux gives a
 * connection to an IPv4 listener before any IPv6 one (`compute_score` in net/ipv4/inet_hashtables.c
 * and udp.c). So one of several servers of an address can step before the others, and back.
 */
import { isIPv4 } from "node:net";

/** Undefined: an IPv6 address, which has no such other form. */
export function mappedAddress(ip: string): string | undefined {
  return isIPv4(ip) ? `::ffff:${ip}` : undefined;
}

/** The machine has no IPv6 at all: the plain address must do, and nothing can step before it. */
export function isWithoutIPv6(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL";
}
