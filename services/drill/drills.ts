/** Each drill: what is done to the leader while writers write, and what must hold afterwards. */

import { StatusError } from "../../ha/runtime/status-error.ts";
import type { TriremeClient } from "../client/mod.ts";

interface DrillContext {
  readonly client: TriremeClient;
  readonly leader: () => { readonly name: string; readonly pid: number } | undefined;
}

export interface DrillReport {
  readonly passed: boolean;
  readonly outageMillis: number;
  readonly acknowledged: number;
  readonly lost: number;
  /** Refused writes by message. */
  readonly errors: Readonly<Record<string, number>>;
  /** The longest that one acknowledged write took after the fault. */
  readonly slowestMillis: number;
  /** The outage that is aimed at; printed, and no part of the verdict: it is a matter of the machine. */
  readonly targetMillis: number;
}

export type Drill = (context: DrillContext) => Promise<DrillReport>;

const writers = 16;
const beforeMillis = 3_000;
/** Longer than any timeout that would end a call on a stopped master. */
const afterMillis = 12_000;

export const drills: Readonly<Record<string, Drill>> = {
  "leader-kill": (context) =>
    underWrites(context, 1_500, (pid) => {
      process.kill(pid, "SIGKILL");
    }),
  "leader-pause": (context) =>
    underWrites(context, 1_500, (pid) => {
      process.kill(pid, "SIGSTOP");
      return () => process.kill(pid, "SIGCONT");
    }),
};

/**
 * The longest time between two acknowledgements after the fault is the outage. What `fault` returns
 * ends the fault, when all writers have stopped.
 */
async function underWrites(
  { client, leader }: DrillContext,
  targetMillis: number,
  // biome-ignore lint/suspicious/noConfusingVoidType: a fault need not have an end
  fault: (pid: number) => (() => void) | void,
): Promise<DrillReport> {
  const namespace = "default";
  const acknowledged: string[] = [];
  const errors: Record<string, number> = {};
  let lastAt = performance.now();
  let outage = 0;
  let slowest = 0;
  let struck = false;
  let stop = false;
  const write = async (writer: number) => {
    for (let i = 0; !stop; i++) {
      const name = `drill-${writer}-${i}`;
      const begun = performance.now();
      try {
        await client.configMaps.create({ metadata: { name, namespace }, data: { name } });
        const now = performance.now();
        if (struck) {
          outage = Math.max(outage, now - lastAt);
          slowest = Math.max(slowest, now - begun);
        }
        lastAt = now;
        acknowledged.push(name);
      } catch (error) {
        const { message } = StatusError.from(error);
        errors[message] = (errors[message] ?? 0) + 1;
      }
    }
  };
  const done = Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  await wait(beforeMillis);
  const target = leader();
  if (!target) throw new Error("no master leads");
  struck = true;
  lastAt = performance.now();
  const end = fault(target.pid);
  await wait(afterMillis);
  outage = Math.max(outage, performance.now() - lastAt);
  stop = true;
  await done;
  end?.();
  const stored = new Set<string | undefined>();
  let page: string | undefined;
  do {
    const list = await client.configMaps.list({
      namespace,
      limit: 500,
      ...(page && { continue: page }),
    });
    for (const { metadata } of list.items) stored.add(metadata?.name);
    page = list.continue;
  } while (page);
  const lost = acknowledged.filter((name) => !stored.has(name)).length;
  const passed = lost === 0 && Object.keys(errors).length === 0;
  return {
    passed,
    outageMillis: Math.round(outage),
    targetMillis,
    slowestMillis: Math.round(slowest),
    acknowledged: acknowledged.length,
    lost,
    errors,
  };
}

function wait(millis: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, millis));
}
