/** Watches a running cluster: who leads, which masters answer, which nodes and pods there are. */
import { Channel } from "../../ha/rpc/channel/channel.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { ClusterService, type MemberStatus, type PodLine } from "../../proto/gen/cluster.ts";
import type { Node } from "../../proto/gen/core.ts";
import type { NodeLiveness } from "../../proto/gen/node.ts";
import { connectClient, InformerFactory, sleep } from "../client/mod.ts";
import { byFrequency, isReadyNode } from "./counts.ts";

interface Tls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface ClusterView {
  /** By master name; undefined while it does not answer. */
  readonly masters: ReadonlyMap<string, MemberStatus | undefined>;
  readonly leader: string | undefined;
  readonly nodes: { readonly ready: number; readonly total: number };
  /** Pods by the status that `get pods` shows. */
  readonly pods: ReadonlyMap<string, number>;
}

/** The nodes, which of them have said a word since the start, and the first pods. */
export interface ClusterObjects {
  readonly nodes: readonly Node[];
  readonly heard: ReadonlySet<string>;
  readonly pods: readonly PodLine[];
}

export interface WatchOptions {
  /** `host:port` of each balancer. */
  readonly balancers: readonly string[];
  readonly masters: readonly { readonly name: string; readonly grpc: string }[];
  readonly tls: Tls;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** So many pods are told of one by one, 0 to 500. */
  readonly podsNamed: number;
  readonly changed: (view: ClusterView, objects: ClusterObjects) => void;
}

/** Between attempts to reach a master again; it may just be starting. */
const redialMillis = 100;
/** The view goes through all objects: from so many on it is made less often, … */
const manyObjects = 500;
/** … but at least this often. */
const viewMillisMax = 1_000;
/** How often a master is asked how far it is. */
const askMillis = 1_000;
/** How often one of them is asked for the state of the pods, which is not worth a watch of each. */
const podsMillis = 1_000;

/** Calls back with the present view whenever it changes, until the signal aborts. */
export function watchCluster(options: WatchOptions): void {
  const { signal, tls, log } = options;
  const masters = new Map<string, MemberStatus | undefined>();
  const channels = new Map<string, Channel>();
  const client = connectClient({ servers: options.balancers, tls, log, identity: "trireme" });
  const factory = new InformerFactory({ client, log, clock: productionClock });
  const nodes = factory.informer("Node");
  const liveness = factory.informer("NodeLiveness");
  let pods: Pods = { counts: new Map(), first: [] };
  const since = Date.now();
  let scheduled = false;
  /** As the last view had them. */
  let objects = 0;
  const changed = () => {
    if (scheduled || signal.aborted) return;
    scheduled = true;
    const tell = () => {
      scheduled = false;
      if (!signal.aborted) options.changed(...view());
    };
    if (objects < manyObjects) setImmediate(tell);
    else setTimeout(tell, Math.min(viewMillisMax, objects / 5));
  };
  const view = (): [ClusterView, ClusterObjects] => {
    const all = nodes.lister.list();
    const heard = nodesHeard(liveness.lister.list(), since);
    const ready = all.filter(
      (node) => heard.has(node.metadata?.name ?? "") && isReadyNode(node),
    ).length;
    objects = all.length;
    const counts = { ready, total: all.length };
    return [
      { masters, leader: leaderOf(masters), nodes: counts, pods: pods.counts },
      { nodes: all, heard, pods: pods.first },
    ];
  };
  const handlers = { added: changed, updated: changed, deleted: changed };
  nodes.addHandlers(handlers);
  liveness.addHandlers(handlers);
  factory.start(signal);
  signal.addEventListener("abort", () => client.close(), { once: true });
  for (const master of options.masters) {
    masters.set(master.name, undefined);
    const update = (status: MemberStatus | undefined) => {
      if (status === undefined && masters.get(master.name) === undefined) return;
      masters.set(master.name, status);
      changed();
    };
    const redial = { reconnectMinMillis: redialMillis, reconnectMaxMillis: redialMillis };
    const channel = new Channel({ address: master.grpc, tls, ...redial });
    signal.addEventListener("abort", () => channel.close(), { once: true });
    channels.set(master.name, channel);
    // It ends only when the signal aborts; every failure inside it is a redial.
    void watchMaster(channel, signal, update);
  }
  const asked = () => {
    for (const [name, status] of masters) if (status?.ready) return channels.get(name);
    return undefined;
  };
  // The same: what is not answered is asked again.
  void askForPods(asked, options, (now) => {
    pods = now;
    changed();
  });
}

interface Pods {
  readonly counts: ReadonlyMap<string, number>;
  readonly first: readonly PodLine[];
}

/** Asks one of the masters that are ready, over and over; calls back with what has changed. */
async function askForPods(
  asked: () => Channel | undefined,
  { signal, podsNamed }: WatchOptions,
  changed: (pods: Pods) => void,
): Promise<void> {
  let known = "";
  while (!signal.aborted) {
    try {
      const call = { fields: [], signal, deadline: Date.now() + askMillis };
      const answer = await asked()?.unary(ClusterService.pods, { limit: podsNamed }, call);
      const text = JSON.stringify(answer);
      if (answer !== undefined && text !== known) {
        known = text;
        const { statuses = {}, pods: first = [] } = answer;
        changed({ counts: byFrequency(Object.entries(statuses)), first });
      }
    } catch {
      // Its stream of states tells that the master is away; another one is asked then.
    }
    await sleep(productionClock, podsMillis, signal);
  }
}

/** Nodes that have said a word since: what is stored may be from before a restart. */
function nodesHeard(all: readonly NodeLiveness[], since: number): ReadonlySet<string> {
  const heard = new Set<string>();
  for (const { nodes } of all) {
    for (const [name, beat] of Object.entries(nodes ?? {})) {
      if (Date.parse(beat.lastHeartbeatTime ?? "") >= since) heard.add(name);
    }
  }
  return heard;
}

async function watchMaster(
  channel: Channel,
  signal: AbortSignal,
  update: (status: MemberStatus | undefined) => void,
): Promise<void> {
  while (!signal.aborted) {
    // The stream tells of leaders and links at once; revisions move all the time and are asked for.
    const timer = setInterval(() => {
      const call = { fields: [], signal, deadline: Date.now() + askMillis };
      channel.unary(ClusterService.status, {}, call).then(update, () => {
        // The stream ends too when the master is away, and says so.
      });
    }, askMillis);
    try {
      const stream = await channel.stream(ClusterService.watchStatus, {}, { fields: [], signal });
      for await (const status of stream.answers()) update(status);
    } catch {
      // The master is away; that is what the view says until it is back.
    } finally {
      clearInterval(timer);
    }
    update(undefined);
    await sleep(productionClock, redialMillis, signal);
  }
}

/** What the member with the highest term says: a deposed leader may not know yet. */
function leaderOf(masters: ReadonlyMap<string, MemberStatus | undefined>): string | undefined {
  let best: MemberStatus | undefined;
  for (const status of masters.values()) {
    if (status?.leaderName && (status.term ?? 0) >= (best?.term ?? 0)) best = status;
  }
  return best?.leaderName;
}
