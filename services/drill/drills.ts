/** Each drill: what is done to the leader while writers write, and what must hold afterwards. */

import { StatusError } from "../../ha/runtime/status-error.ts";
import type { TriremeClient } from "../client/mod.ts";

export interface DrillContext {
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
}

export type Drill = (context: DrillContext) => Promise<DrillReport>;

const writers = 16;
const beforeMillis = 3_000;
const afterMillis = 6_000;

export const drills: Readonly<Record<string, Drill>> = {
  "leader-kill": (context) =>
    underWrites(context, (pid) => {
      process.kill(pid, "SIGKILL");
    }),
  "leader-pause": (context) =>
    underWrites(context, (pid) => {
      process.kill(pid, "SIGSTOP");
      setTimeout(() => process.kill(pid, "SIGCONT"), afterMillis / 2);
    }),
};

/** The longest time between two acknowledgements after the fault is the outage. */
async function underWrites(
  { client, leader }: DrillContext,
  fault: (pid: number) => void,
): Promise<DrillReport> {
  const namespace = "default";
  const acknowledged: string[] = [];
  const errors: Record<string, number> = {};
  let lastAt = performance.now();
  let outage = 0;
  let struck = false;
  let stop = false;
  const write = async (writer: number) => {
    for (let i = 0; !stop; i++) {
      const name = `drill-${writer}-${i}`;
      try {
        await client.configMaps.create({ metadata: { name, namespace }, data: { name } });
        const now = performance.now();
        if (struck) outage = Math.max(outage, now - lastAt);
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
  fault(target.pid);
  await wait(afterMillis);
  stop = true;
  await done;
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
  const outageMillis = Math.round(outage);
  return { passed, outageMillis, acknowledged: acknowledged.length, lost, errors };
}

function wait(millis: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, millis));
}
