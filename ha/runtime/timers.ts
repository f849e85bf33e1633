/**
 * The timer budget: the times on which the components depend together, each written here and nowhere
 * else, and the relations between them that must hold. `trireme timers` prints both.
 *
 * A component that starts lays its flags over the defaults, warns about relations that no longer hold,
 * and tells its own times as the metric `trireme_timer_seconds`.
 */
import type { MetricsRegistry } from "./metrics.ts";
import type { Log } from "./types.ts";

export interface Timer {
  readonly millis: number;
  /** The programs that it steers. */
  readonly of: readonly string[];
  /** The flag that sets it; absent: it is the same everywhere. */
  readonly flag?: string;
  readonly what: string;
}

const elected = ["scheduler", "controller-manager"];
const clients = [...elected, "kubelet", "kube-proxy"];
const servers = ["balancer", "apiserver"];

export const timers = {
  tick: { millis: 50, of: ["apiserver", "store"], what: "the store's unit of time" },
  heartbeat: {
    millis: 100,
    of: ["apiserver", "store"],
    what: "the store's leader tells its followers that it lives",
  },
  electionMin: {
    millis: 500,
    of: ["apiserver", "store"],
    what: "a follower that hears no leader stands for election, at the earliest",
  },
  electionMax: { millis: 1_000, of: ["apiserver", "store"], what: "… and at the latest" },
  storeRequest: {
    millis: 7_000,
    of: ["apiserver", "store"],
    what: "a request to the store waits for a leader and a quorum",
  },
  keepalive: {
    millis: 5_000,
    of: servers,
    what: "an idle connection is asked for a sign of life",
  },
  keepaliveTimeout: { millis: 3_000, of: servers, what: "… and closed without one" },
  suspectPing: {
    millis: 100,
    of: ["balancer"],
    what: "a silent master is asked for a sign of life",
  },
  suspect: { millis: 500, of: ["balancer"], what: "… and without one suspected to be stopped" },
  suspectStream: {
    millis: 1_200,
    of: ["balancer"],
    what: "a silent master loses its watches to the others",
  },
  leaderWait: {
    millis: 1_500,
    of: ["balancer"],
    what: "writes wait for a new leader before any master gets them",
  },
  balancerWait: { millis: 10_000, of: ["balancer"], what: "a call waits for a master at most" },
  balancerDrain: {
    millis: 5_000,
    of: ["balancer"],
    what: "a balancer that stops lets calls under way end",
  },
  requestTimeout: {
    millis: 60_000,
    of: ["apiserver"],
    flag: "request-timeout",
    what: "a request to the apiserver ends",
  },
  flowQueue: {
    millis: 15_000,
    of: ["apiserver"],
    what: "a request waits for its turn in flow control at most",
  },
  cacheWait: {
    millis: 3_000,
    of: ["apiserver"],
    what: "a read waits for the watch cache at most",
  },
  bookmark: { millis: 60_000, of: ["apiserver"], what: "a watch gets a bookmark" },
  compaction: {
    millis: 300_000,
    of: ["apiserver"],
    flag: "etcd-compaction-interval",
    what: "the store's history is kept at the least; 0: for ever",
  },
  watch: { millis: 3_600_000, of: ["apiserver"], what: "a watch without a limit of its own ends" },
  apiserverDrain: {
    millis: 5_000,
    of: ["apiserver"],
    what: "an apiserver that stops lets calls under way end",
  },
  clientCall: { millis: 30_000, of: clients, what: "a component gives up a call to the API" },
  leaderLease: {
    millis: 4_800,
    of: elected,
    flag: "leader-elect-lease-duration",
    what: "standbys wait after a leader's last renewal",
  },
  leaderRenew: {
    millis: 4_600,
    of: elected,
    flag: "leader-elect-renew-deadline",
    what: "a leader tries to renew before it stops leading",
  },
  leaderRetry: {
    millis: 3_000,
    of: elected,
    flag: "leader-elect-retry-period",
    what: "pause between attempts to take or renew the lease",
  },
  nodeHeartbeat: {
    millis: 5_000,
    of: ["kubelet"],
    flag: "node-status-update-frequency",
    what: "a kubelet tells that its node lives",
  },
  nodeLiveness: {
    millis: 10_000,
    of: ["apiserver"],
    what: "an apiserver writes which nodes it has heard of; at once when a stream opens or closes",
  },
  nodeHeartbeatAnswer: {
    millis: 8_000,
    of: ["kubelet"],
    what: "a kubelet gives up a stream that does not answer",
  },
  nodeLeaseRenew: { millis: 15_000, of: ["kubelet"], what: "a kubelet renews its node's Lease" },
  nodeLease: { millis: 40_000, of: ["kubelet"], what: "a node's Lease lasts" },
  kubeletShutdown: {
    millis: 0,
    of: ["kubelet"],
    flag: "shutdown-grace-period",
    what: "a kubelet that stops gives its containers so long; 0: they run on",
  },
  nodeMonitor: {
    millis: 5_000,
    of: ["controller-manager"],
    flag: "node-monitor-period",
    what: "the node controller looks at a node that is not well",
  },
  nodeGrace: {
    millis: 20_000,
    of: ["controller-manager"],
    flag: "node-monitor-grace-period",
    what: "a silent node is marked unknown and tainted",
  },
  processStop: {
    millis: 10_000,
    of: [...servers, ...clients, "store"],
    what: "a process that is told to stop ends, in order or not",
  },
  supervisorGrace: {
    millis: 12_000,
    of: ["up"],
    what: "the supervisor kills a process that does not end",
  },
} as const satisfies Readonly<Record<string, Timer>>;

export type TimerName = keyof typeof timers;
export type TimerValues = Readonly<Record<TimerName, number>>;

export const timerNames = Object.keys(timers) as TimerName[];

/** Candidates of a leader election poll up to this factor later (client-go `JitterFactor`). */
export const retryJitterFactor = 1.2;

export interface Relation {
  /** Which times it is about. */
  readonly names: readonly TimerName[];
  readonly text: string;
  /** What goes wrong where it does not hold. */
  readonly otherwise: string;
  holds(values: TimerValues): boolean;
}

export const relations: readonly Relation[] = [
  {
    names: ["heartbeat", "electionMin"],
    text: "3 × heartbeat ≤ electionMin",
    otherwise: "a lost heartbeat or two depose a leader that lives",
    holds: (t) => 3 * t.heartbeat <= t.electionMin,
  },
  {
    names: ["electionMin", "electionMax"],
    text: "electionMin < electionMax",
    otherwise: "members stand for election at the same moment, and none wins",
    holds: (t) => t.electionMin < t.electionMax,
  },
  {
    names: ["electionMax", "storeRequest"],
    text: "2 × electionMax < storeRequest",
    otherwise: "requests end before a new leader can take them",
    holds: (t) => 2 * t.electionMax < t.storeRequest,
  },
  {
    names: ["suspectPing", "suspect", "electionMax"],
    text: "suspectPing + suspect ≤ electionMax",
    otherwise: "calls wait for a stopped leader although another one leads",
    holds: (t) => t.suspectPing + t.suspect <= t.electionMax,
  },
  {
    names: ["suspectPing", "suspect", "suspectStream"],
    text: "suspectPing + suspect ≤ suspectStream",
    otherwise: "a master loses its watches before it is suspected",
    holds: (t) => t.suspectPing + t.suspect <= t.suspectStream,
  },
  {
    names: ["suspect", "keepaliveTimeout"],
    text: "suspect < keepaliveTimeout",
    otherwise: "a connection is closed before its master is suspected",
    holds: (t) => t.suspect < t.keepaliveTimeout,
  },
  {
    names: ["electionMax", "leaderWait"],
    text: "electionMax ≤ leaderWait",
    otherwise: "writes go to masters that have no leader yet",
    holds: (t) => t.electionMax <= t.leaderWait,
  },
  {
    names: ["leaderWait", "balancerWait"],
    text: "leaderWait ≤ balancerWait",
    otherwise: "writes are refused before any master gets them",
    holds: (t) => t.leaderWait <= t.balancerWait,
  },
  {
    names: ["balancerWait", "clientCall"],
    text: "balancerWait < clientCall",
    otherwise: "components give up before the balancer answers them",
    holds: (t) => t.balancerWait < t.clientCall,
  },
  {
    names: ["storeRequest", "requestTimeout"],
    text: "storeRequest < requestTimeout",
    otherwise: "a request ends before the store says why",
    holds: (t) => t.storeRequest < t.requestTimeout,
  },
  {
    names: ["flowQueue", "requestTimeout"],
    text: "flowQueue < requestTimeout",
    otherwise: "requests end in the queue of flow control without a word when to come back",
    holds: (t) => t.flowQueue < t.requestTimeout,
  },
  {
    names: ["cacheWait", "requestTimeout"],
    text: "cacheWait < requestTimeout",
    otherwise: "a read ends before a late watch cache is told of",
    holds: (t) => t.cacheWait < t.requestTimeout,
  },
  {
    names: ["bookmark", "watch"],
    text: "bookmark < watch",
    otherwise: "idle watches end without a revision to go on from",
    holds: (t) => t.bookmark < t.watch,
  },
  {
    names: ["bookmark", "compaction"],
    text: "2 × bookmark ≤ compaction",
    otherwise: "the revision of an idle watch's last bookmark is forgotten before the next one",
    holds: (t) => t.compaction === 0 || 2 * t.bookmark <= t.compaction,
  },
  {
    names: ["leaderRenew", "leaderLease"],
    text: "leaderRenew < leaderLease",
    otherwise: "two replicas lead at once",
    holds: (t) => t.leaderRenew < t.leaderLease,
  },
  {
    names: ["leaderRetry", "leaderRenew"],
    text: `${retryJitterFactor} × leaderRetry < leaderRenew`,
    otherwise: "one failed renewal ends a leadership",
    holds: (t) => retryJitterFactor * t.leaderRetry < t.leaderRenew,
  },
  {
    names: ["leaderRetry", "electionMax", "leaderRenew"],
    // A stopped leader is missed after electionMax at the latest; the rest is for the votes, and for
    // the renewal itself. Each renewal is a write of a cluster that does nothing else.
    text: "leaderRetry + 1.5 × electionMax ≤ leaderRenew",
    otherwise: "an election of the store ends leaderships of the components",
    holds: (t) => t.leaderRetry + 1.5 * t.electionMax <= t.leaderRenew,
  },
  {
    names: ["nodeHeartbeat", "nodeGrace"],
    text: "3 × nodeHeartbeat ≤ nodeGrace",
    otherwise: "a lost heartbeat or two mark a node that lives as unknown",
    holds: (t) => 3 * t.nodeHeartbeat <= t.nodeGrace,
  },
  {
    names: ["nodeHeartbeat", "nodeHeartbeatAnswer", "nodeGrace"],
    text: "nodeHeartbeat + nodeHeartbeatAnswer < nodeGrace",
    otherwise: "a node is given up before its kubelet goes to another master",
    holds: (t) => t.nodeHeartbeat + t.nodeHeartbeatAnswer < t.nodeGrace,
  },
  {
    names: ["nodeLiveness", "keepalive", "keepaliveTimeout", "nodeGrace"],
    text: "nodeLiveness + keepalive + keepaliveTimeout < nodeGrace",
    otherwise: "a dead connection costs a node its grace",
    holds: (t) => t.nodeLiveness + t.keepalive + t.keepaliveTimeout < t.nodeGrace,
  },
  {
    names: ["nodeLiveness", "nodeGrace"],
    text: "2 × nodeLiveness ≤ nodeGrace",
    otherwise: "one late write of an apiserver marks the nodes that it hears as unknown",
    holds: (t) => 2 * t.nodeLiveness <= t.nodeGrace,
  },
  {
    names: ["nodeMonitor", "nodeGrace"],
    text: "nodeMonitor < nodeGrace",
    otherwise: "a silent node is noticed much later than its grace says",
    holds: (t) => t.nodeMonitor < t.nodeGrace,
  },
  {
    names: ["nodeLeaseRenew", "nodeLease"],
    text: "2 × nodeLeaseRenew < nodeLease",
    otherwise: "one failed renewal lets a node's Lease end",
    holds: (t) => 2 * t.nodeLeaseRenew < t.nodeLease,
  },
  {
    names: ["leaderLease", "leaderRetry", "nodeGrace"],
    text: `leaderLease + ${retryJitterFactor} × leaderRetry < nodeGrace`,
    otherwise:
      "a new controller-manager comes too late for nodes that fell silent with the old one",
    holds: (t) => t.leaderLease + retryJitterFactor * t.leaderRetry < t.nodeGrace,
  },
  {
    names: ["apiserverDrain", "processStop"],
    text: "apiserverDrain < processStop",
    otherwise: "an apiserver that stops cuts calls off",
    holds: (t) => t.apiserverDrain < t.processStop,
  },
  {
    names: ["balancerDrain", "processStop"],
    text: "balancerDrain < processStop",
    otherwise: "a balancer that stops cuts calls off",
    holds: (t) => t.balancerDrain < t.processStop,
  },
  {
    names: ["kubeletShutdown", "processStop"],
    text: "kubeletShutdown < processStop",
    otherwise: "a kubelet that stops leaves containers behind",
    holds: (t) => t.kubeletShutdown < t.processStop,
  },
  {
    names: ["processStop", "supervisorGrace"],
    text: "processStop < supervisorGrace",
    otherwise: "the supervisor kills processes that end in order",
    holds: (t) => t.processStop < t.supervisorGrace,
  },
];

export const defaultTimers: TimerValues = Object.fromEntries(
  timerNames.map((name) => [name, timers[name].millis]),
) as Record<TimerName, number>;

/** The relations that do not hold for these times. */
export function brokenRelations(values: TimerValues): readonly Relation[] {
  return relations.filter((relation) => !relation.holds(values));
}

/** `5s`, `100ms`, as Go writes durations and the flags take them. */
export function durationText(millis: number): string {
  if ((millis > 0 && millis < 1_000) || !Number.isInteger(millis / 100)) return `${millis}ms`;
  const seconds = millis / 1_000;
  const hours = Math.floor(seconds / 3_600);
  const minutes = Math.floor((seconds % 3_600) / 60);
  const rest = seconds % 60;
  const parts = [hours > 0 ? `${hours}h` : "", minutes > 0 ? `${minutes}m` : ""];
  return `${parts.join("")}${rest > 0 || seconds === 0 ? `${rest}s` : ""}`;
}

/** A relation with the times that stand in it. */
function relationText({ names, text }: Relation, values: TimerValues): string {
  return `${text} (${names.map((name) => `${name} ${durationText(values[name])}`).join(", ")})`;
}

export const timerMetric = "trireme_timer_seconds";

/**
 * What a program does with its times when it starts. `own`: those that its flags set; the times of
 * other programs are taken as their defaults, so a broken relation is a warning and no refusal.
 */
export function announceTimers(
  program: string,
  own: Partial<TimerValues>,
  { log, metrics }: { readonly log: Log; readonly metrics: MetricsRegistry },
): void {
  const values = { ...defaultTimers, ...own };
  const ours = timerNames.filter((name) => (timers[name] as Timer).of.includes(program));
  for (const relation of brokenRelations(values)) {
    if (!relation.names.some((name) => ours.includes(name))) continue;
    log.warn("a relation of the timer budget does not hold", {
      relation: relationText(relation, values),
      otherwise: relation.otherwise,
    });
  }
  metrics.collect("gauge", timerMetric, "Times that steer this process, in seconds.", () =>
    ours.map((timer) => ({ labels: { timer }, value: values[timer] / 1_000 })),
  );
}
