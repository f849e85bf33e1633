/** `trireme store`: a member of the store by itself, with etcd's API, as etcd would be started. */
import { setTimeout as sleep } from "node:timers/promises";
import { AutoCompaction } from "../../../ha/etcd/mod.ts";
import type { WorkerMember } from "../../../ha/member/mod.ts";
import { productionClock } from "../../../ha/runtime/production/clock.ts";
import { isLoopback } from "../../../ha/runtime/production/loopback.ts";
import { program } from "../../../ha/runtime/production/process.ts";
import type { Log } from "../../../ha/runtime/types.ts";
import { type EtcdServer, endOf, openReplica, serveEtcd } from "../../apiserver/mod.ts";
import { type StoreSettings, storeFlags, storeSettings } from "./store-flags.ts";

const store = program({
  name: "store",
  summary: "a replica of the store alone, for etcd clients",
  flags: storeFlags,
  traced: false,
  async start(values, log, tracing) {
    const settings = await storeSettings(values);
    const { name, clientUrls } = settings;
    const member = await openReplica({
      name,
      dataDirectory: settings.dataDirectory,
      listen: settings.peers,
      peerAddress: settings.peerAddress,
      plaintextPeers: settings.plaintextPeers,
      keyFile: settings.keyFile,
      cluster: settings.cluster,
      clusterToken: settings.clusterToken,
      initialClusterState: settings.clusterState,
      clientAddresses: clientUrls,
      quotaBytes: settings.quotaBytes,
      // Of the wall time nothing is served here but what the member's thread does.
      ...(settings.enableFaults && { faults: { clockJumped: () => {} } }),
      log,
    });
    const servers: EtcdServer[] = [];
    const { retention } = settings;
    const compaction =
      retention && new AutoCompaction({ store: member, clock: productionClock, log, retention });
    const close = async () => {
      compaction?.close();
      for (const server of servers) await server.close();
      // Closing hands leadership over.
      await member.close();
    };
    try {
      if (!(await published(member, name, clientUrls[0] ?? ""))) {
        log.warn("clients are served before the cluster knows where", { clientUrls });
      }
      await serve(member, { ...settings, tracing: tracing?.settings }, servers, log);
      return { ended: endOf(member), stop: close };
    } catch (thrown) {
      await close();
      throw thrown;
    }
  },
});

export { store as program };

async function serve(
  member: WorkerMember,
  {
    clients,
    tls,
    jwt,
    tracing,
  }: StoreSettings & { readonly tracing: Parameters<typeof serveEtcd>[1]["tracing"] },
  servers: EtcdServer[],
  log: Log,
): Promise<void> {
  for (const listen of clients) {
    if (!tls && !isLoopback(listen.host)) {
      log.warn("clients are served without TLS, and not on this machine alone", { listen });
    }
    servers.push(await serveEtcd(member, { listen, tls, jwt, tracing }));
  }
}

/** As long as etcd waits for its cluster by default (`--wait-cluster-ready-timeout`). */
const publishMillisMax = 5_000;
const publishCheckMillis = 50;

/**
 * Waits until the cluster has taken note of where this member's clients connect, so that a
 * client that reaches it finds it in the list of members. False: without a quorum it could not in time.
 */
async function published(member: WorkerMember, name: string, clientUrl: string): Promise<boolean> {
  const deadline = performance.now() + publishMillisMax;
  for (;;) {
    const members = await member.admin.members();
    if (members.some((each) => each.name === name && each.clientUrls.includes(clientUrl))) {
      return true;
    }
    if (performance.now() > deadline) return false;
    await sleep(publishCheckMillis);
  }
}
