/** What an apiserver tells of itself at `/metrics`, beside its requests. */
import type { MetricsRegistry, Sample } from "../../ha/runtime/metrics.ts";
import type { MemberStatus, Store } from "../../ha/store/types.ts";
import { gitVersion } from "../kinds/mod.ts";
import type { AuditCounts } from "./audit/log-file.ts";
import type { WatchCache } from "./storage/watch-cache.ts";

export interface MetricsSources {
  readonly registry: MetricsRegistry;
  readonly cache: WatchCache;
  readonly store: Pick<Store, "onStatus">;
  readonly audit: AuditCounts | undefined;
}

/** The returned function ends what it needs. */
export function addApiMetrics({ registry, cache, store, audit }: MetricsSources): () => void {
  const info = registry.gauge("kubernetes_build_info", "The version that is served.", [
    "git_version",
    "platform",
  ]);
  info.labels(gitVersion(), `${process.platform}/${process.arch}`).set(1);
  registry.collect(
    "gauge",
    "apiserver_storage_objects",
    "Number of stored objects at the time of last check split by kind.",
    () => cachesOf(cache, ({ size }) => size),
  );
  registry.collect(
    "counter",
    "apiserver_watch_events_total",
    "Number of events sent in watch clients.",
    function* () {
      for (const { resource, eventsSent } of cache.all()) {
        const { group, version, kind } = resource;
        if (eventsSent > 0) yield { labels: { group, version, kind }, value: eventsSent };
      }
    },
  );
  registry.collect(
    "gauge",
    "apiserver_longrunning_requests",
    "Number of watches under way by resource.",
    function* () {
      for (const { resource, watchers } of cache.all()) {
        const { group, version, plural } = resource;
        const labels = { verb: "WATCH", group, version, resource: plural, component: "apiserver" };
        if (watchers > 0) yield { labels, value: watchers };
      }
    },
  );
  addAuditMetrics(registry, audit);
  return addStoreMetrics(registry, store);
}

function* cachesOf(
  cache: WatchCache,
  value: (of: { readonly size: number }) => number,
): Generator<Sample> {
  for (const each of cache.all()) {
    const { group, plural } = each.resource;
    const resource = group === "" ? plural : `${plural}.${group}`;
    yield { labels: { resource }, value: value(each) };
  }
}

function addAuditMetrics(registry: MetricsRegistry, audit: AuditCounts | undefined): void {
  registry.collect(
    "counter",
    "apiserver_audit_event_total",
    "Counter of audit events generated and sent to the audit backend.",
    () => [{ value: audit === undefined ? 0 : audit.written + audit.dropped }],
  );
  registry.collect(
    "counter",
    "apiserver_audit_error_total",
    "Counter of audit events that failed to be audited properly.",
    () => [{ labels: { plugin: "log" }, value: audit?.dropped ?? 0 }],
  );
}

function addStoreMetrics(registry: MetricsRegistry, store: Pick<Store, "onStatus">): () => void {
  let status: MemberStatus | undefined;
  let leader: number | undefined;
  let changes = 0;
  const undo = store.onStatus((now) => {
    status = now;
    if (now.leader !== undefined && now.leader !== leader) changes += 1;
    leader = now.leader ?? leader;
  });
  const flag = (name: string, help: string, value: () => boolean) =>
    registry.collect("gauge", name, help, () => [{ value: value() ? 1 : 0 }]);
  flag("etcd_server_has_leader", "Whether or not a leader exists.", () => {
    return status?.leader !== undefined;
  });
  flag("etcd_server_is_leader", "Whether or not this member is a leader.", () => {
    return status?.role === "leader";
  });
  registry.collect(
    "counter",
    "etcd_server_leader_changes_seen_total",
    "The number of leader changes seen.",
    () => [{ value: changes }],
  );
  return undo;
}
