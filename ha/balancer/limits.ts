import { rpcLimits } from "../rpc/limits.ts";
import { assert } from "../runtime/assert.ts";
import { defaultTimers } from "../runtime/timers.ts";

/** The limits of the balancer; each may be set by its options. */
export const balancerLimits = {
  /** Connections of clients; the next one is closed at once. */
  connections: rpcLimits.connections,
  /** Calls under way on one client connection; as many as a master takes. */
  concurrentStreams: rpcLimits.concurrentStreams,
  /** Calls that one client may cancel at once, and by the second after that; then it is cut off. */
  clientResetBurst: 10_000,
  clientResetsPerSecond: 500,
  /** The same of all clients towards one master; beyond it cancellations wait for their turn. */
  resetBurst: 5_000,
  resetsPerSecond: 800,
  /** Bytes of a request that is kept for a retry; a larger one is passed on as it comes, once. */
  requestBytes: 4 * 1024 * 1024,
  /** Bytes of requests kept in all; beyond it new ones are passed on as they come. */
  requestBytesTotal: 256 * 1024 * 1024,
  /** Bytes of a reply held back until its status is known; then a retry is no longer possible. */
  replyBytes: 64 * 1024,
  /** Time a client may take to send the body of a unary call. */
  requestBodyMillis: 60_000,
  /** A REST request that is no watch, log or connection must be answered within this … */
  restMillis: 60_000,
  /** … and its master gets so much longer to say itself that it was not. */
  restGraceMillis: 2_000,
  /** What a REST client is told to wait before it tries again. */
  retryAfterMillis: 1_000,
  /** Bytes of an event of a REST watch that are held back until it is whole. */
  heldLineBytes: 256 * 1024,
  /** Head of a REST request: bytes and fields; a master takes more, for what is added here. */
  restHeaderBytes: 48 * 1024,
  restHeaderFields: 128,
  /** HTTP/1.1: how long a request's head may take, and how long a client may rest. */
  http1HeadMillis: 10_000,
  http1IdleMillis: 120_000,
  /** HTTP/1.1: a client that reads nothing for so long, while an answer waits, is cut off. */
  http1StalledMillis: 60_000,
  /** A REST connection that was upgraded ends when its master has been suspected for so long. */
  suspectTunnelMillis: 5_000,
  /** Calls that wait for a master or a leader; the next one is answered UNAVAILABLE. */
  waitingCalls: 1_024,
  /** How long a call waits at most. */
  waitMillis: defaultTimers.balancerWait,
  /** How long writes wait for a new leader before any healthy master gets them. */
  leaderWaitMillis: defaultTimers.leaderWait,
  /** Attempts of one call, the first included. */
  attempts: 6,
  /** Delay before a further attempt: the first, doubling to the last. */
  backoffMinMillis: 5,
  backoffMaxMillis: 200,
  /** Delay before a master is dialled again: the first, doubling to the last. */
  redialMinMillis: 20,
  redialMaxMillis: 500,
  /** A dial that takes longer is given up. */
  dialMillis: 3_000,
  /** Signs of life asked of a master; the connection is closed without one. */
  pingMillis: rpcLimits.keepaliveMillis,
  pingTimeoutMillis: rpcLimits.keepaliveTimeoutMillis,
  /**
   * A master that is silent for so long is asked for a sign of life, and suspected to be stopped
   * when none comes within `suspectMillis`; both are counted in turns of `suspectTurnMillis`. The
   * followers need 500 to 1,000 ms to elect another leader, so calls must not wait longer than that
   * for a stopped one. A busy master may be held up by its own work for as long: so suspicion costs
   * nothing that cannot be taken back. Its connection stays, it gets no new calls until a byte
   * comes, and only calls whose repetition is harmless are repeated elsewhere.
   */
  suspectPingMillis: defaultTimers.suspectPing,
  suspectMillis: defaultTimers.suspect,
  suspectTurnMillis: 50,
  /**
   * How often one call is repeated because its master is suspected: a request that holds every
   * master up for long must not be given to all of them.
   */
  suspectRepeats: 2,
  /** A master silent for so long gives up its watches: their clients go on elsewhere. */
  suspectStreamMillis: defaultTimers.suspectStream,
  /** … and of a client. */
  clientPingMillis: 30_000,
  clientPingTimeoutMillis: 10_000,
  /** How often the spread of streams over the masters is looked at … */
  spreadMillis: 1_000,
  /** … and whether masters have streams that are silent for too long, … */
  stoppedMillis: 100,
  /** … and how many are moved at a time: so many, or so many of a hundred if these are more. */
  movesMin: 16,
  movesPercent: 20,
  /**
   * A master that comes gets its full share of single calls after this, and at first so much of it.
   */
  slowStartMillis: 5_000,
  slowStartPercent: 10,
  /** A master is an outlier when it fails so many calls one after the other … */
  outlierRun: 5,
  /** … or such a share of at least so many within a window. */
  outlierPercent: 50,
  outlierCalls: 20,
  outlierWindowMillis: 10_000,
  /** How long it is left out: at first, doubling to the last. */
  ejectionMinMillis: 5_000,
  ejectionMaxMillis: 60_000,
  /** Of a hundred healthy masters, so many are left out at a time at most. */
  ejectedPercent: 34,
  /** What is under way with a master that left the cluster ends by then. */
  departedMillis: 30_000,
  /** A balancer that drains ends within this the streams that their clients begin anew. */
  leaveMillis: 1_000,
  /** After a drain's grace, what calls get to be told so. */
  farewellMillis: 250,
} as const;

export type BalancerLimits = { readonly [Name in keyof typeof balancerLimits]: number };

/** The defaults with these changes; refuses relations that cannot work. */
export function makeLimits(changes: Partial<BalancerLimits> = {}): BalancerLimits {
  const limits = { ...balancerLimits, ...changes };
  for (const [name, value] of Object.entries(limits)) {
    assert(Number.isSafeInteger(value) && value > 0, `limits.${name} must be a positive integer`);
  }
  assert(limits.backoffMinMillis <= limits.backoffMaxMillis, "backoffMin ≤ backoffMax");
  assert(limits.redialMinMillis <= limits.redialMaxMillis, "redialMin ≤ redialMax");
  assert(limits.ejectionMinMillis <= limits.ejectionMaxMillis, "ejectionMin ≤ ejectionMax");
  assert(limits.slowStartPercent <= 100, "slowStartPercent ≤ 100");
  assert(limits.outlierPercent <= 100, "outlierPercent ≤ 100");
  assert(limits.outlierRun <= limits.outlierCalls, "outlierRun ≤ outlierCalls");
  assert(limits.ejectedPercent <= 50, "ejectedPercent ≤ 50: a majority stays");
  assert(
    limits.concurrentStreams <= limits.clientResetBurst,
    "concurrentStreams ≤ clientResetBurst",
  );
  assert(limits.resetBurst <= rpcLimits.streamResetBurst, "resetBurst ≤ what masters take");
  assert(
    limits.resetsPerSecond <= rpcLimits.streamResetRate,
    "resetsPerSecond ≤ what masters take",
  );
  assert(limits.leaderWaitMillis <= limits.waitMillis, "leaderWait ≤ wait");
  const suspected = limits.suspectPingMillis + limits.suspectMillis;
  assert(
    limits.suspectPingMillis < limits.pingMillis && limits.suspectMillis < limits.pingTimeoutMillis,
    "a master is suspected before its connection is closed",
  );
  assert(suspected <= limits.suspectStreamMillis, "suspectPing + suspect ≤ suspectStream");
  assert(limits.suspectTurnMillis <= limits.suspectPingMillis, "suspectTurn ≤ suspectPing");
  assert(limits.requestBytes <= limits.requestBytesTotal, "requestBytes ≤ requestBytesTotal");
  return limits;
}
