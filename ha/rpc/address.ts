/** Where a client finds a server, and how the two prove who they are. */
import { Code, StatusError } from "../runtime/status-error.ts";

/** PEM texts. */
export interface ClientTls {
  /** The server's certificate must chain to it. */
  readonly ca: string;
  /** The client's own certificate and key, both or neither. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `[v6]:port`. Throws a StatusError. */
export function parseAddress(address: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || !(port >= 1 && port <= 65_535)) {
    throw invalidAddress(`address "${address}"`, "host:port is wanted, with a port of 1 to 65535");
  }
  return { host, port };
}

export function invalidAddress(field: string, what: string): StatusError {
  return new StatusError(Code.invalidArgument, `${field}: ${what}`);
}
