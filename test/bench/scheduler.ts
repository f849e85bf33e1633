/**
 * The scheduler: what a scheduling cycle costs in CPU over the cache alone, and how many pods a
 * second get from creation to binding, and to running on hollow nodes, through real masters.
 *
 *   npm run bench -- scheduler [--nodes 1000,5000] [--pods 10000] [--init-pods 4000] [--masters 1]
 *     [--workloads basic,spread] [--only cycles|api] [--against upstream]
 *
 * `--init-pods` are there before anything is measured, and then 10,000 pods are, as in the case of
 * upstream's `scheduler_perf` that its published floor for 5,000 nodes is of.
 * `--against upstream` measures kube-scheduler on the PATH after ours, in the same cluster.
 */
import { parseArgs } from "node:util";
import { measureCycles } from "./scheduler/in-process.ts";
import { measureThroughApi } from "./scheduler/through-api.ts";
import { workloads } from "./scheduler/workloads.ts";

/** What goes through the API unless the caller chooses. */
const throughApi = ["basic", "anti-affinity", "spread"];

export async function run(args: readonly string[]): Promise<void> {
  const { nodes, pods, initPods, masters, chosen, only, upstream } = parse(args);
  if (only !== "api") {
    for (const count of nodes) {
      for (const name of chosen ?? Object.keys(workloads)) measureCycles(count, name);
    }
  }
  if (only === "cycles") return;
  for (const count of nodes) {
    await measureThroughApi(
      { nodes: count, pods, initPods, masters, upstream },
      chosen ?? throughApi,
    );
  }
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      nodes: { type: "string", default: "1000,5000" },
      pods: { type: "string", default: "10000" },
      "init-pods": { type: "string", default: "4000" },
      masters: { type: "string", default: "1" },
      workloads: { type: "string" },
      only: { type: "string" },
      against: { type: "string" },
    },
  });
  const number = (flag: string, text: string, most: number): number => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw new Error(`--${flag} ${text}: must be a whole number in 1..${most}`);
  };
  const known = Object.keys(workloads);
  for (const name of values.workloads?.split(",") ?? []) {
    if (known.includes(name)) continue;
    throw new Error(`--workloads: "${name}" is not one of ${known.join(", ")}`);
  }
  if (values.only !== undefined && !["cycles", "api"].includes(values.only)) {
    throw new Error(`--only ${values.only}: must be cycles or api`);
  }
  if (values.against !== undefined && values.against !== "upstream") {
    throw new Error(`--against ${values.against}: must be upstream`);
  }
  return {
    nodes: values.nodes.split(",").map((text) => number("nodes", text, 20_000)),
    pods: number("pods", values.pods, 100_000),
    initPods: values["init-pods"] === "0" ? 0 : number("init-pods", values["init-pods"], 100_000),
    masters: number("masters", values.masters, 7),
    chosen: values.workloads?.split(","),
    only: values.only,
    upstream: values.against !== undefined,
  };
}
