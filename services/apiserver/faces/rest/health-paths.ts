/** `/livez`, `/readyz`, `/healthz`: checks by name, in upstream's words (apiserver `server/healthz`). */
import type { Store } from "../../../../ha/store/types.ts";
import type { Readiness } from "../grpc/cluster.ts";
import { textResponse } from "./answers.ts";
import type { PathTable, PlainRequest } from "./paths.ts";
import { flagOf } from "./target.ts";
import type { RestResponse } from "./types.ts";

/** Undefined: healthy; otherwise why it is not. */
type Check = () => string | undefined | Promise<string | undefined>;

export interface HealthSources {
  readonly readiness: Readiness;
  readonly store: Pick<Store, "status">;
}

export function addHealthPaths(table: PathTable, { readiness, store }: HealthSources): void {
  const ping: Check = () => undefined;
  const leader: Check = async () => {
    const { leader: known } = await store.status();
    return known === undefined ? "no leader of the store is known" : undefined;
  };
  const informers: Check = () => (readiness.filled ? undefined : "the watch cache is not filled");
  const shutdown: Check = () => (readiness.stopping ? "process is shutting down" : undefined);
  const live = { ping, log: ping };
  const healthy = { ...live, etcd: leader };
  const ready = { ...healthy, "informer-sync": informers, shutdown };
  addChecks(table, "livez", live);
  addChecks(table, "healthz", healthy);
  addChecks(table, "readyz", ready);
}

function addChecks(table: PathTable, name: string, checks: Readonly<Record<string, Check>>): void {
  table.add(`/${name}`, (request) => answerAll(name, checks, request));
  for (const [check, run] of Object.entries(checks)) {
    table.add(`/${name}/${check}`, async () => {
      const failure = await run();
      if (failure === undefined) return textResponse("ok");
      return textResponse(`internal server error: ${failure}\n`, 500);
    });
  }
}

async function answerAll(
  name: string,
  checks: Readonly<Record<string, Check>>,
  { query }: PlainRequest,
): Promise<RestResponse> {
  const excluded = new Set(query.getAll("exclude"));
  const lines: string[] = [];
  let failed = false;
  for (const [check, run] of Object.entries(checks)) {
    if (excluded.delete(check)) {
      lines.push(`[+]${check} excluded: ok`);
      continue;
    }
    const failure = await run();
    failed ||= failure !== undefined;
    lines.push(failure === undefined ? `[+]${check} ok` : `[-]${check} failed: ${failure}`);
  }
  if (excluded.size > 0) {
    const unknown = [...excluded].map((each) => JSON.stringify(each)).join(",");
    lines.push(`warn: some health checks cannot be excluded: no matches for ${unknown}`);
  }
  if (failed) return textResponse(`${lines.join("\n")}\n${name} check failed\n`, 500);
  const verbose = flagOf(query, "verbose") ?? false;
  return textResponse(verbose ? `${lines.join("\n")}\n${name} check passed\n` : "ok");
}
