import { defaultTimers } from "../../ha/runtime/timers.ts";

/** Every limit of the kubelet, in one place. Milliseconds unless the name says otherwise. */
export const kubeletLimits = {
  /** Upstream's CrashLoopBackOff; the reset is twice the ceiling there, too. */
  restartBackoffFirstMillis: 10_000,
  restartBackoffCeilingMillis: 300_000,
  restartBackoffResetMillis: 600_000,
  /** Upstream's ImagePullBackOff, with the same ceiling. */
  imageBackoffFirstMillis: 10_000,
  /** A container that cannot be configured, or an API that does not answer, is asked again. */
  configRetryFirstMillis: 1_000,
  configRetryCeilingMillis: 30_000,
  /** Left for the stop signal when the preStop hook has used up the grace. */
  graceAfterHookMillis: 2_000,
  /** A pod whose object is gone has no grace left to give. */
  orphanGraceMillis: 2_000,
  /** How often a resize that does not fit now is looked at again. */
  resizeRetryMillis: 30_000,
  /** How often a pod looks whether the earlier one of its name has ended. */
  predecessorLookMillis: 500,
  volumeRefreshMillis: 60_000,
  /** How often emptyDir volumes with a sizeLimit are measured, and of how many files at most. */
  volumeMeasureMillis: 10_000,
  volumeEntriesMeasured: 100_000,
  /** Upstream's, of every call of a CSI driver. */
  csiCallMillis: 120_000,
  /** Of the sockets by which plugins register, and how often the kubelet looks for them anyhow. */
  pluginCallMillis: 10_000,
  pluginLookMillis: 30_000,
  pluginsMax: 100,
  hookMillisMax: 600_000,
  /** Exited containers kept per container name, for lastState and `--previous`. */
  deadContainersPerName: 1,
  /** Upstream's ImageGCPeriod. */
  imageGcMillis: 300_000,
  maxPods: 110,
  /** Manifests of static pods; upstream's size, and its fileCheckFrequency. */
  manifestFilesMax: 500,
  manifestBytesMax: 10 * 1024 * 1024,
  manifestCheckMillis: 20_000,
  /** From a change in a directory of manifests to the look at it. */
  manifestSettleMillis: 50,
  heartbeatMillis: defaultTimers.nodeHeartbeat,
  heartbeatMillisMin: 500,
  /** CPU use is measured over at least this. */
  statsWindowMillisMin: 1_000,
  heartbeatMillisMax: 60_000,
  /** Upstream's duration of a node's Lease; its controllers wait 40 s and more for a node. */
  leaseDurationSeconds: defaultTimers.nodeLease / 1_000,
  leaseRenewMillis: defaultTimers.nodeLeaseRenew,
  /** An unanswered stream is a broken stream. */
  heartbeatAnswerMillis: defaultTimers.nodeHeartbeatAnswer,
  reconnectFirstMillis: 50,
  reconnectCeilingMillis: 1_000,
  podReportsPerMessage: 100,
  /** A report that the apiserver could not write is sent again after this. */
  reportRetryMillis: 1_000,
  /** Upstream's evictionPressureTransitionPeriod. */
  pressureHoldMillis: 300_000,
  /** Of a pod that a hard threshold, or its own use of the disk, evicts. */
  evictionGraceMillis: 1_000,
  /** How long an evicted pod is waited for beyond its grace before another goes. */
  evictionCleanupMillis: 30_000,
  logFollowersMax: 64,
  /** Exec and attach sessions, and connections forwarded to pods, at a time. */
  sessionsMax: 256,
  forwardsMax: 1_024,
  /** Connections, or clients of a UDP port, that one host port serves at a time. */
  hostPortConnectionsMax: 1_024,
  hostPortUdpIdleMillis: 60_000,
  /** How often a host port looks for a program to relay to, and for an address that is taken. */
  hostPortLookMillis: 500,
  hostPortRetryMillis: 5_000,
  /** Within this, a range of addresses must answer on its own machine to be of use. */
  rangeAnswerMillisMax: 1_000,
  /** Output of a program that has ended is over when none has come for so long. */
  outputQuietMillis: 500,
  /** Upstream's: of the file, of the output in its place, and of all containers of a pod. */
  terminationMessageBytes: 4_096,
  terminationLogBytes: 2_048,
  terminationLogLines: 80,
  terminationMessagesBytesOfPod: 12 * 1024,
} as const;
