/** The node's own addresses: one, or one of each family. */
import { isIP, isIPv6, SocketAddress } from "node:net";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";

export interface NodeIPs {
  /** Its family is the node's primary one: pods' addresses of that family come first. */
  readonly nodeIP: string;
  /** Of the other family; absent: the node has none. */
  readonly secondNodeIP?: string | undefined;
}

/**
 * `127.0.0.1`, or with an address of the other family after a comma (upstream's
 * `ParseNodeIPArgument`). Throws a StatusError naming the flag.
 */
export function parseNodeIPs(text: string, flag: string): NodeIPs {
  const refused = (why: string) =>
    new StatusError(Code.invalidArgument, `bad ${flag} ${JSON.stringify(text)}: ${why}`);
  const addresses = text.split(",").map((part) => {
    const address = part.trim();
    if (isIP(address) === 0 || address.includes("%")) {
      throw refused(`could not parse ${JSON.stringify(address)}`);
    }
    return canonical(address);
  });
  const [nodeIP = "", secondNodeIP, ...more] = addresses;
  if (secondNodeIP === undefined) return { nodeIP };
  if (more.length > 0 || sameFamily(nodeIP, secondNodeIP)) {
    throw refused("must contain either a single IP or a dual-stack pair of IPs");
  }
  if (addresses.some(isUnspecified)) {
    throw refused("dual-stack node IP cannot include '0.0.0.0' or '::'");
  }
  return { nodeIP, secondNodeIP };
}

export function sameFamily(one: string, other: string): boolean {
  return isIPv6(one) === isIPv6(other);
}

/** As `parseNodeIPs`, in a list: the primary one first. */
export function nodeIPList(text: string, flag: string): readonly string[] {
  return listOf(parseNodeIPs(text, flag));
}

/** Both of them, or the one. */
export function listOf({ nodeIP, secondNodeIP }: NodeIPs): readonly string[] {
  return secondNodeIP === undefined ? [nodeIP] : [nodeIP, secondNodeIP];
}

/** The API takes addresses of IPv6 in one form alone. */
function canonical(address: string): string {
  return isIPv6(address) ? new SocketAddress({ address, family: "ipv6" }).address : address;
}

function isUnspecified(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}
