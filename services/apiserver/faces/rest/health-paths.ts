/** `/livez`, `/readyz`, `/healthz`: checks by name, in upstream's words (apiserver `server/healthz`). */
import {
  answerCheck,
  answerChecks,
  type HealthAnswer,
  type HealthCheck,
  type HealthChecks,
} from "../../../../ha/runtime/health-checks.ts";
import type { Store } from "../../../../ha/store/types.ts";
import type { Readiness } from "../grpc/cluster.ts";
import { textResponse } from "./answers.ts";
import type { PathTable } from "./paths.ts";
import { flagOf } from "./target.ts";
import type { RestResponse } from "./types.ts";

export interface HealthSources {
  readonly readiness: Readiness;
  readonly store: Pick<Store, "status">;
}

export function addHealthPaths(table: PathTable, { readiness, store }: HealthSources): void {
  const ping: HealthCheck = () => undefined;
  const etcd: HealthCheck = async () => {
    const { leader, failure } = await store.status();
    if (failure !== undefined) return failure;
    return leader === undefined ? "no leader of the store is known" : undefined;
  };
  const informers: HealthCheck = () =>
    readiness.filled ? undefined : "the watch cache is not filled";
  const shutdown: HealthCheck = () => (readiness.stopping ? "process is shutting down" : undefined);
  const live = { ping, log: ping };
  const healthy = { ...live, etcd };
  // As upstream, which asks the store once more for readiness.
  const ready = { ...healthy, "etcd-readiness": etcd, "informer-sync": informers, shutdown };
  addChecks(table, "livez", live);
  addChecks(table, "healthz", healthy);
  addChecks(table, "readyz", ready);
}

function addChecks(table: PathTable, name: string, checks: HealthChecks): void {
  table.add(`/${name}`, async ({ query }) => {
    const verbose = flagOf(query, "verbose") ?? false;
    return responseOf(
      await answerChecks(name, checks, { verbose, exclude: query.getAll("exclude") }),
    );
  });
  for (const [check, run] of Object.entries(checks)) {
    table.add(`/${name}/${check}`, async () => responseOf(await answerCheck(run)));
  }
}

function responseOf({ status, text }: HealthAnswer): RestResponse {
  return textResponse(text, status);
}
