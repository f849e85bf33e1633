import { parseAddress } from "../../rpc/mod.ts";
import { Code, StatusError } from "../../runtime/status-error.ts";

/**
 * The endpoints in `etcd://host:port,host:port`; the later ones may begin with `etcd://` too.
 * Throws a StatusError that names the part.
 */
export function parseEtcdAddress(text: string): string[] {
  if (!text.startsWith("etcd://")) {
    throw new StatusError(
      Code.invalidArgument,
      `store "${text}": etcd://host:port is wanted, several separated by commas`,
    );
  }
  return text.split(",").map((part) => {
    const address = part.replace(/^etcd:\/\//, "").replace(/\/$/, "");
    parseAddress(address);
    return address;
  });
}
