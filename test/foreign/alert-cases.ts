/**
 * For each alert rule of `docker/alerts.yaml` a time in which it must keep quiet, and one in which it
 * must fire, in the notation of `promtool test rules`, with a sample every ten seconds.
 */
export interface AlertCase {
  readonly alert: string;
  /** Selector and values: `0x5` is 0 six times, `0+1x9` counts from 0 to 9. */
  readonly series: Readonly<Record<string, string>>;
  readonly quietAt: string;
  readonly firesAt: string;
  /** Those of the alert beside its severity. */
  readonly labels: Readonly<Record<string, string>>;
}

const store = { job: "store", instance: "a" };
const instance = { instance: "a" };
const start = "50s";
/** A histogram whose every observation lies first below one bound, then between it and the next. */
const slower = (metric: string, labels: string, low: string, high: string) => ({
  [`${metric}_bucket{${labels},le="${low}"}`]: "0+10x30 300x90",
  [`${metric}_bucket{${labels},le="${high}"}`]: "0+10x120",
  [`${metric}_bucket{${labels},le="+Inf"}`]: "0+10x120",
});

export const alertCases: readonly AlertCase[] = [
  {
    alert: "TriremeNoLeader",
    series: {
      'etcd_server_has_leader{job="store",instance="a"}': "1x5 0x30",
      'etcd_server_has_leader{job="store",instance="b"}': "0x40",
    },
    ...{ quietAt: start, firesAt: "2m", labels: {} },
  },
  {
    alert: "TriremeMemberWithoutLeader",
    series: {
      'etcd_server_has_leader{job="store",instance="a"}': "1x5 0x30",
      'etcd_server_has_leader{job="store",instance="b"}': "1x40",
    },
    ...{ quietAt: start, firesAt: "3m", labels: store },
  },
  {
    alert: "TriremeMasterDown",
    series: { 'up{job="apiserver",instance="a"}': "1x5 0x30" },
    ...{ quietAt: start, firesAt: "2m", labels: { ...instance, job: "apiserver" } },
  },
  {
    alert: "TriremeLeaderChangesOften",
    series: {
      'etcd_server_leader_changes_seen_total{job="store",instance="a"}': "1x5 1+1x60",
      'etcd_server_leader_changes_seen_total{job="store",instance="b"}': "1x30 2x40",
    },
    ...{ quietAt: start, firesAt: "5m", labels: store },
  },
  {
    alert: "TriremeDiskSlow",
    series: slower("etcd_disk_wal_fsync_duration_seconds", 'instance="a"', "0.064", "0.256"),
    ...{ quietAt: "5m", firesAt: "15m", labels: instance },
  },
  {
    alert: "TriremeMemberBehind",
    series: {
      'etcd_server_proposals_committed_total{job="store",instance="a"}': "0x5 10000x30",
      'etcd_server_proposals_applied_total{job="store",instance="a"}': "0x40",
    },
    ...{ quietAt: start, firesAt: "3m", labels: store },
  },
  {
    alert: "TriremeStoreNearlyFull",
    series: { 'etcd_mvcc_db_total_size_in_bytes{instance="a"}': "1000x5 2000000000x30" },
    ...{ quietAt: start, firesAt: "3m", labels: instance },
  },
  {
    alert: "TriremeRequestsFail",
    series: {
      'apiserver_request_total{code="200"}': "0+100x120",
      'apiserver_request_total{code="500"}': "0x30 0+5x90",
    },
    ...{ quietAt: "5m", firesAt: "15m", labels: {} },
  },
  {
    alert: "TriremeWritesSlow",
    series: {
      ...slower("apiserver_request_duration_seconds", 'verb="POST"', "1", "5"),
      'apiserver_request_duration_seconds_bucket{verb="GET",le="1"}': "0x120",
      'apiserver_request_duration_seconds_bucket{verb="GET",le="+Inf"}': "0+10x120",
    },
    ...{ quietAt: "5m", firesAt: "15m", labels: {} },
  },
  {
    alert: "TriremeRequestsRefused",
    series: {
      'apiserver_flowcontrol_rejected_requests_total{priority_level="workload-low"}': "0x30 0+1x90",
    },
    ...{ quietAt: "5m", firesAt: "15m", labels: { priority_level: "workload-low" } },
  },
  {
    alert: "TriremeAuditLost",
    series: { 'apiserver_audit_error_total{instance="a"}': "0x5 0+1x30" },
    ...{ quietAt: start, firesAt: "3m", labels: instance },
  },
  {
    alert: "TriremeBalancerWithoutMasters",
    series: {
      'trireme_balancer_master_healthy{instance="a",face="api",master="m"}': "1x5 0x30",
      'trireme_balancer_master_healthy{instance="a",face="api",master="n"}': "0x40",
      'trireme_balancer_master_healthy{instance="b",face="api",master="m"}': "1x40",
    },
    ...{ quietAt: start, firesAt: "2m", labels: { ...instance, face: "api" } },
  },
  {
    alert: "TriremeCallsWait",
    series: { 'trireme_balancer_calls_waiting{instance="a"}': "0x5 3x30" },
    ...{ quietAt: start, firesAt: "2m", labels: instance },
  },
  {
    alert: "TriremeCallsRefused",
    series: { 'trireme_balancer_refusals_total{instance="a"}': "0x5 0+10x30" },
    ...{ quietAt: start, firesAt: "3m", labels: instance },
  },
  {
    alert: "TriremeNoLoopLeads",
    series: {
      'leader_election_master_status{name="kube-scheduler",instance="a"}': "1x5 0x30",
      'leader_election_master_status{name="kube-scheduler",instance="b"}': "0x40",
    },
    ...{ quietAt: start, firesAt: "2m", labels: { name: "kube-scheduler" } },
  },
  {
    alert: "TriremeTwoLoopsLead",
    series: {
      'leader_election_master_status{name="kube-scheduler",instance="a"}': "1x40",
      'leader_election_master_status{name="kube-scheduler",instance="b"}': "0x5 1x30",
    },
    ...{ quietAt: start, firesAt: "2m", labels: { name: "kube-scheduler" } },
  },
  {
    alert: "TriremeQueueGrows",
    series: { 'workqueue_depth{name="deployment",instance="a"}': "0x5 2000x90" },
    ...{ quietAt: "5m", firesAt: "15m", labels: { ...instance, name: "deployment" } },
  },
  {
    alert: "TriremePodsUnschedulable",
    series: {
      'scheduler_pending_pods{queue="unschedulable"}': "0x5 1x120",
      'scheduler_pending_pods{queue="active"}': "9x130",
    },
    ...{ quietAt: "10m", firesAt: "18m", labels: {} },
  },
  {
    alert: "TriremeTimersContradict",
    series: {
      'trireme_timer_seconds{timer="nodeHeartbeat",instance="a"}': "1x5 4x30",
      'trireme_timer_seconds{timer="nodeGrace",instance="b"}': "10x40",
    },
    ...{ quietAt: start, firesAt: "2m", labels: {} },
  },
  {
    alert: "TriremeProcessRestarts",
    series: { 'process_start_time_seconds{job="balancer",instance="a"}': "1x5 2 3 4 5x30" },
    ...{ quietAt: "1m20s", firesAt: "3m", labels: { ...instance, job: "balancer" } },
  },
  {
    alert: "TriremeEventLoopBusy",
    series: { 'nodejs_eventloop_lag_p99_seconds{job="apiserver",instance="a"}': "0.01x5 0.5x90" },
    ...{ quietAt: "5m", firesAt: "10m", labels: { ...instance, job: "apiserver" } },
  },
  {
    alert: "TriremeSpansDropped",
    series: {
      'trireme_trace_spans_dropped_total{job="apiserver",instance="a"}': "0x5 0+1x120",
    },
    ...{ quietAt: "5m", firesAt: "15m", labels: { ...instance, job: "apiserver" } },
  },
];
