/** `/livez`, `/readyz`, `/healthz`: checks by name, in upstream's words (apiserver `server/healthz`). */

/** Undefined: healthy; otherwise why it is not. */
export type HealthCheck = () => string | undefined | Promise<string | undefined>;
export type HealthChecks = Readonly<Record<string, HealthCheck>>;

export interface HealthAnswer {
  readonly status: number;
  readonly text: string;
}

/** `name`: of the path, e.g. `livez`. */
export async function answerChecks(
  name: string,
  checks: HealthChecks,
  { verbose, exclude }: { readonly verbose: boolean; readonly exclude: readonly string[] },
): Promise<HealthAnswer> {
  const excluded = new Set(exclude);
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
  if (failed) return { status: 500, text: `${lines.join("\n")}\n${name} check failed\n` };
  const text = verbose ? `${lines.join("\n")}\n${name} check passed\n` : "ok";
  return { status: 200, text };
}

export async function answerCheck(check: HealthCheck): Promise<HealthAnswer> {
  const failure = await check();
  if (failure === undefined) return { status: 200, text: "ok" };
  return { status: 500, text: `internal server error: ${failure}\n` };
}
