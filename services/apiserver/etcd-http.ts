/**
 * What etcd serves over HTTP/1.1 on its client port: `/metrics` (Prometheus text), `/health` and
 * `/version`, with etcd's names. Only what is truly known is told.
 */
import { readdirSync } from "node:fs";
import type { RequestListener, ServerResponse } from "node:http";
import { etcdVersion, type StoreAdmin } from "../../ha/etcd/mod.ts";
import { processMetrics } from "../../ha/runtime/metrics.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { Store } from "../../ha/store/types.ts";

type Member = Store & { readonly admin: StoreAdmin };

const alarmNames = { noSpace: "NOSPACE", corrupt: "CORRUPT" } as const;

export interface EtcdHttp {
  readonly handler: RequestListener;
  close(): void;
}

export function etcdHttp(member: Member, log: Log): EtcdHttp {
  const changes = new LeaderChanges(member);
  const answer = async (url: URL, response: ServerResponse): Promise<void> => {
    switch (url.pathname) {
      case "/metrics":
        return say(response, 200, await metrics(member, changes.seen), "text/plain; version=0.0.4");
      case "/health":
        return health(member, url.searchParams, response);
      case "/version":
        return json(response, 200, { etcdserver: etcdVersion, etcdcluster: "3.5.0" });
      default:
        return say(response, 404, "404 page not found\n", "text/plain; charset=utf-8");
    }
  };
  const handler: RequestListener = (request, response) => {
    answer(new URL(request.url ?? "/", "http://member"), response).catch((thrown: unknown) => {
      const { message } = StatusError.from(thrown);
      log.warn("an HTTP request failed", { path: request.url, error: message });
      if (!response.headersSent) say(response, 503, `${message}\n`, "text/plain; charset=utf-8");
      else response.destroy();
    });
  };
  return { handler, close: () => changes.close() };
}

/** Healthy: no alarm is raised, a leader is known, and a read works. */
async function health(
  member: Member,
  query: URLSearchParams,
  response: ServerResponse,
): Promise<void> {
  const unhealthy = (reason: string) => json(response, 503, { health: "false", reason });
  const excluded = new Set(query.getAll("exclude"));
  for (const { kind } of await member.admin.alarms()) {
    const name = alarmNames[kind];
    if (!excluded.has(name)) return unhealthy(`ALARM ${name}`);
  }
  const serializable = query.get("serializable") === "true";
  const { leader } = await member.status();
  if (leader === undefined && !serializable) return unhealthy("RAFT NO LEADER");
  try {
    await member.range({ key: Buffer.from("health"), limit: 1 }, { serializable });
  } catch (thrown) {
    return unhealthy(`RANGE ERROR:${StatusError.from(thrown).message}`);
  }
  return json(response, 200, { health: "true", reason: "" });
}

/** Counted from the start of the server, as etcd counts from that of its process. */
class LeaderChanges {
  seen = 0;
  #leader: number | undefined;
  readonly close: () => void;

  constructor(member: Store) {
    this.close = member.onStatus(({ leader }) => {
      if (leader !== undefined && leader !== this.#leader) this.seen++;
      this.#leader = leader ?? this.#leader;
    });
  }
}

async function metrics(member: Member, leaderChanges: number): Promise<string> {
  const [status, size] = await Promise.all([member.status(), member.admin.dbSize()]);
  const { user, system } = process.cpuUsage();
  const files = openFiles();
  const rows: (readonly [string, "counter" | "gauge", string, number])[] = [
    [
      "etcd_server_has_leader",
      "gauge",
      "1: a leader is known",
      status.leader === undefined ? 0 : 1,
    ],
    ["etcd_server_is_leader", "gauge", "1: this member leads", status.role === "leader" ? 1 : 0],
    ["etcd_server_is_learner", "gauge", "1: it has no vote", status.role === "learner" ? 1 : 0],
    ["etcd_server_leader_changes_seen_total", "counter", "leaders seen", leaderChanges],
    ["etcd_server_proposals_committed_total", "gauge", "the commit index", status.commitIndex],
    ["etcd_server_proposals_applied_total", "gauge", "the applied index", status.appliedIndex],
    ["etcd_mvcc_db_total_size_in_bytes", "gauge", "size on disk", size.total],
    ["etcd_mvcc_db_total_size_in_use_in_bytes", "gauge", "of that, in use", size.inUse],
    ["etcd_debugging_mvcc_current_revision", "gauge", "the store's revision", status.revision],
    [
      "etcd_debugging_mvcc_compact_revision",
      "gauge",
      "the last compaction",
      status.compactRevision,
    ],
    ["etcd_debugging_mvcc_keys_total", "gauge", "keys that exist", status.keys],
    ["process_cpu_seconds_total", "counter", "user and system time", (user + system) / 1e6],
    ["process_resident_memory_bytes", "gauge", "resident memory", process.memoryUsage.rss()],
    ["process_start_time_seconds", "gauge", "since 1970", Date.now() / 1000 - process.uptime()],
    ...(files === undefined ? [] : [["process_open_fds", "gauge", "open files", files] as const]),
  ];
  const text = rows.map(([name, type, help, value]) => {
    return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value}\n`;
  });
  const info = "etcd_server_version";
  return `${text.join("")}${processMetrics.text()}# HELP ${info} the version that is spoken\n# TYPE ${info} gauge\n${info}{server_version="${etcdVersion}"} 1\n`;
}

/** Undefined where the system does not tell. */
function openFiles(): number | undefined {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return undefined;
  }
}

function json(response: ServerResponse, status: number, content: object): void {
  say(response, status, JSON.stringify(content), "application/json");
}

function say(response: ServerResponse, status: number, text: string, type: string): void {
  response.writeHead(status, { "content-type": type });
  response.end(text);
}
