/** Addresses that traffic goes to: of Endpoints, of EndpointSlices, from outside to a Service. */
import ipaddr from "ipaddr.js";
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { invalid } from "../machinery/causes.ts";
import { checkAddress } from "../machinery/names.ts";

/**
 * Upstream's `ValidateEndpointIP`; but loopback is allowed, because the embedded network lives
 * there.
 */
export function validateEndpointAddress(text: string, path: string): FieldCause[] {
  if (checkAddress(text).length > 0) return [invalid(path, text, "must be a valid IP address")];
  const detail = specialRange(text);
  return detail === undefined ? [] : [invalid(path, text, detail)];
}

/** An IPv4 address in the form of IPv6 is judged as the IPv4 address. */
function specialRange(text: string): string | undefined {
  const address = ipaddr.process(text);
  if (address.toByteArray().every((byte) => byte === 0)) return `may not be unspecified (${text})`;
  if (address.range() === "linkLocal") {
    return "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
  }
  if (!isLinkLocalMulticast(address)) return undefined;
  return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
}

/** Upstream counts by the scope: ff02:: with any flags. */
function isLinkLocalMulticast(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  const bytes = address.toByteArray();
  if (address.kind() === "ipv4") return bytes[0] === 224 && bytes[1] === 0 && bytes[2] === 0;
  return bytes[0] === 0xff && ((bytes[1] ?? 0) & 0x0f) === 2;
}
