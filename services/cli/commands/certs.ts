/** `trireme certs`: credentials for a cluster whose processes are started by hand, anywhere. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { ensureCredentials } from "../credentials.ts";
import { print, table } from "../output.ts";

export interface CertsFlags {
  readonly dir: string;
  readonly masters: string;
  readonly nodes: string;
  readonly hosts: string;
  readonly serviceClusterIpRange: string;
  readonly days: number;
  readonly peers?: string;
}

export async function certs(flags: CertsFlags): Promise<void> {
  const masters = names("--masters", flags.masters);
  const peers = flags.peers?.split(",");
  if (peers && peers.length !== masters.length) {
    throw new StatusError(
      Code.invalidArgument,
      `--peers names ${peers.length} addresses, --masters names ${masters.length} masters`,
    );
  }
  const credentials = await ensureCredentials(flags.dir, {
    masters,
    nodes: names("--nodes", flags.nodes),
    hosts: flags.hosts.split(","),
    serviceRange: flags.serviceClusterIpRange,
    days: flags.days,
  });
  const { balancer } = credentials;
  print(
    table([
      ["FOR", "CERTIFICATE", "KEY"],
      ["ca", credentials.ca, "–"],
      ["admin", credentials.admin.cert, credentials.admin.key],
      ["scheduler", credentials.scheduler.cert, credentials.scheduler.key],
      ["controller-manager", credentials.controllerManager.cert, credentials.controllerManager.key],
      ["kube-proxy", credentials.kubeProxy.cert, credentials.kubeProxy.key],
      ["balancer (server)", balancer.server.cert, balancer.server.key],
      ["balancer (to masters)", balancer.client.cert, balancer.client.key],
      ...credentials.masters.flatMap((master) => [
        [`${master.name} (server)`, master.server.cert, master.server.key],
        [`${master.name} (to kubelets)`, master.client.cert, master.client.key],
        [`${master.name} (to peers)`, master.peerId, master.peerKeyFile],
      ]),
      ...credentials.nodes.flatMap((node) => [
        [`kubelet ${node.name}`, node.client.cert, node.client.key],
        [`kubelet ${node.name} (server)`, node.server.cert, node.server.key],
      ]),
    ]),
  );
  if (!peers) return;
  const cluster = credentials.masters.map(({ name, peerId }, i) => `${name}=${peers[i]}/${peerId}`);
  print(`\n--initial-cluster ${cluster.join(",")}`);
}

function names(flag: string, text: string): string[] {
  const all = text === "" ? [] : text.split(",");
  for (const name of all) {
    if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) continue;
    throw new StatusError(
      Code.invalidArgument,
      `${flag} "${name}": a lowercase RFC 1123 label is wanted (letters, digits, '-', at most 63)`,
    );
  }
  return all;
}
