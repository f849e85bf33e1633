/**
 * What lists of many pods cost a master, and those who read one object meanwhile: an apiserver in
 * a process of its own, its clients in another, and a reader in this one.
 *
 *   npm run bench -- api-lists [--pods 50000] [--lists 20] [--at-once 20] [--connections 4]
 *     [--forms rest,selector,gzip,table,grpc,dynamic]
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { RestClient } from "./api/rest-client.ts";
import type { ListersWork } from "./api-lists/listers.ts";
import type { Served } from "./api-lists/server.ts";
import { cpuMicros, residentMegabytes } from "./store/processes.ts";
import { shown, table } from "./store/table.ts";

const forms = ["rest", "selector", "gzip", "table", "grpc", "dynamic"] as const;
const restMillis = 3_000;

export async function run(args: readonly string[]): Promise<void> {
  const { pods, lists, atOnce, connections, wanted } = parse(args);
  const children: ChildProcess[] = [];
  try {
    const server = forked(children, "server.ts", [String(pods)]);
    const served = await message<Served>(server);
    const listers = forked(children, "listers.ts", []);
    const reader = await RestClient.connect(served.https, served.reader);
    const work = { served, lists, atOnce, connections };
    const rows: string[][] = [];
    const measure = async (name: string, during: () => Promise<void>, count: number) => {
      rows.push([name, ...(await gauge(served.pid, reader, during, count * pods))]);
    };
    await measure("nothing", () => pause(restMillis), 0);
    for (const form of wanted) {
      const ask = async (count: number) => {
        listers.send({ ...work, form, lists: count } satisfies ListersWork);
        const { failed } = await message<{ failed?: string }>(listers);
        if (failed !== undefined) throw new Error(`${form}: ${failed}`);
      };
      await measure(`${form}, the first`, () => ask(1), 1);
      await measure(form, () => ask(lists), lists);
      await measure("after it", () => pause(restMillis), 0);
    }
    console.log(`${pods} pods of ${served.bytes} bytes, ${atOnce} lists at once`);
    console.log(table(head, rows));
    reader.close();
  } finally {
    for (const child of children) child.kill();
  }
}

const head = [
  ...["load", "seconds", "pods/s", "CPU µs a pod", "gets", "get p50 ms", "get p99 ms", "max ms"],
  ...["most MB", "MB at its end"],
];

/** One get after the other while the work lasts. */
async function gauge(pid: number, reader: RestClient, work: () => Promise<void>, pods: number) {
  let [over, most] = [false, 0];
  const millis: number[] = [];
  const path = "/api/v1/namespaces/default";
  const reading = (async () => {
    while (!over) {
      const asked = performance.now();
      await reader.get(path);
      millis.push(performance.now() - asked);
      most = Math.max(most, residentMegabytes(pid));
      await pause(2);
    }
  })();
  const began = performance.now();
  const cpu = cpuMicros([pid]);
  await work().finally(() => {
    over = true;
  });
  const used = cpuMicros([pid]) - cpu;
  const seconds = (performance.now() - began) / 1_000;
  await reading;
  millis.sort((one, other) => one - other);
  const at = (share: number) => millis[Math.floor((millis.length - 1) * share)] ?? Number.NaN;
  return [
    ...[shown(seconds), pods === 0 ? "–" : shown(pods / seconds)],
    ...[pods === 0 ? "–" : shown(used / pods), String(millis.length)],
    ...[shown(at(0.5)), shown(at(0.99)), shown(at(1))],
    ...[shown(most), shown(residentMegabytes(pid))],
  ];
}

function forked(children: ChildProcess[], file: string, args: readonly string[]): ChildProcess {
  const child = fork(join(import.meta.dirname, "api-lists", file), args);
  children.push(child);
  return child;
}

async function message<T>(child: ChildProcess): Promise<T> {
  const answered = new AbortController();
  const { signal } = answered;
  const ended = once(child, "exit", { signal }).then(([code]) => {
    throw new Error(`a process of the benchmark ended with code ${code}`);
  });
  ended.catch(() => {
    // Aborted, because there is an answer.
  });
  try {
    const [answer] = (await Promise.race([once(child, "message", { signal }), ended])) as [T];
    return answer;
  } finally {
    answered.abort();
  }
}

function pause(millis: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, millis));
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      pods: { type: "string", default: "50000" },
      lists: { type: "string", default: "20" },
      "at-once": { type: "string", default: "20" },
      connections: { type: "string", default: "4" },
      forms: { type: "string", default: forms.join(",") },
    },
  });
  const number = (name: "pods" | "lists" | "at-once" | "connections", most: number): number => {
    const given = Number(values[name]);
    if (Number.isInteger(given) && given >= 1 && given <= most) return given;
    throw new Error(`--${name} ${values[name]}: must be a whole number in 1..${most}`);
  };
  const wanted = values.forms.split(",").map((name) => {
    const form = forms.find((each) => each === name);
    if (form !== undefined) return form;
    throw new Error(`--forms ${name}: must be of ${forms.join(", ")}`);
  });
  return {
    pods: number("pods", 500_000),
    lists: number("lists", 10_000),
    atOnce: number("at-once", 10_000),
    connections: number("connections", 1_000),
    wanted,
  };
}
