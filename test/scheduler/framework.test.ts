import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nodesToFind } from "../../services/scheduler/framework/find-nodes.ts";
import {
  Cycle,
  Framework,
  on,
  type Plugin,
  refuse,
  refuseForGood,
  StateKey,
} from "../../services/scheduler/framework/mod.ts";
import { NodeInfo } from "../../services/scheduler/node-info.ts";
import { prioritySort } from "../../services/scheduler/plugins/priority-sort.ts";
import { podInfo } from "../../services/scheduler/pod-info.ts";
import { Snapshot } from "../../services/scheduler/snapshot.ts";

function snapshotOf(...names: string[]): Snapshot {
  const snapshot = new Snapshot();
  for (const name of names) {
    const info = new NodeInfo(name);
    info.setNode({ metadata: { name } });
    snapshot.changed(info, new Map());
  }
  return snapshot;
}
const frameworkOf = (...plugins: Plugin[]) =>
  new Framework({ plugins: [prioritySort, ...plugins], random: () => 0.5, after: () => () => {} });
const cycleOf = (snapshot: Snapshot) =>
  new Cycle(podInfo({ metadata: { name: "p", namespace: "d" } }), snapshot);

describe("the scheduler's framework", () => {
  test("preFilter leaves state for filter, restricts nodes, and skips a plugin's filter", () => {
    const key = new StateKey<string>("wanted");
    const calls: string[] = [];
    const framework = frameworkOf(
      {
        name: "State",
        preFilter(cycle) {
          cycle.write(key, "b");
          return undefined;
        },
        filter(cycle, node) {
          calls.push(node.name);
          return cycle.read(key) === node.name ? undefined : refuseForGood("other node");
        },
      },
      { name: "Only", preFilter: () => ({ nodeNames: new Set(["a", "b"]) }) },
      { name: "Skipped", preFilter: () => ({ skip: true }), filter: () => refuse("never asked") },
    );
    const placement = framework.schedule(cycleOf(snapshotOf("a", "b", "c")));
    assert.equal("node" in placement && placement.node.name, "b");
    assert.deepEqual(calls, ["a", "b"]);
  });

  test("a refusal says which plugins refused, and whether taking pods away would help", () => {
    const framework = frameworkOf(
      { name: "A", filter: (_, { name }) => (name === "a" ? refuseForGood("wrong") : undefined) },
      { name: "B", filter: () => refuse("full", "crowded") },
    );
    const placement = framework.schedule(cycleOf(snapshotOf("a", "b", "c")));
    assert.ok("refusal" in placement);
    const { message, plugins, diagnosis } = placement.refusal;
    assert.equal(message, "0/3 nodes are available: 1 wrong, 2 crowded, 2 full.");
    assert.deepEqual([...plugins].sort(), ["A", "B"]);
    const permanent = [...diagnosis].map(([node, { refusal }]) => [node.name, !!refusal.permanent]);
    assert.deepEqual(permanent, [
      ["a", true],
      ["b", false],
      ["c", false],
    ]);
  });

  test("preFilter may refuse the pod everywhere", () => {
    const framework = frameworkOf({ name: "No", preFilter: () => ({ refusal: refuse("no way") }) });
    const placement = framework.schedule(cycleOf(snapshotOf("a", "b")));
    assert.equal(
      "refusal" in placement && placement.refusal.message,
      "0/2 nodes are available: no way.",
    );
  });

  test("scores are normalised, weighted and added; preScore may skip one", () => {
    const raw: Record<string, number> = { a: -4, b: 6, c: 1 };
    const normalize = (points: Float64Array) => {
      for (const [index, each] of points.entries()) points[index] = 10 * (each + 4);
    };
    const skipped: Plugin = {
      name: "Skipped",
      preScore: () => "skip",
      score: { weight: 100, points: (_, { name }) => (name === "a" ? 100 : 0) },
    };
    const framework = frameworkOf(
      { name: "Raw", score: { weight: 2, points: (_, { name }) => raw[name] ?? 0, normalize } },
      { name: "Flat", score: { weight: 2, points: (_, { name }) => (name === "c" ? 100 : 0) } },
      skipped,
    );
    const placement = framework.schedule(cycleOf(snapshotOf("a", "b", "c")));
    // a: 0; b: 2 × 100; c: 2 × 50 + 2 × 100.
    assert.equal("node" in placement && placement.node.name, "c");
  });

  test("points outside 0..100 are a fault that names the plugin", () => {
    const framework = frameworkOf({ name: "Wild", score: { weight: 1, points: () => 101 } });
    assert.throws(() => framework.schedule(cycleOf(snapshotOf("a", "b"))), /plugin Wild gives 101/);
  });

  test("reserve is undone for every plugin, in reverse order", () => {
    const calls: string[] = [];
    const noting = (name: string, more: Partial<Plugin> = {}): Plugin => ({
      name,
      reserve: () => void calls.push(`reserve ${name}`),
      unreserve: () => void calls.push(`unreserve ${name}`),
      ...more,
    });
    const framework = frameworkOf(
      noting("A"),
      noting("B", { reserve: () => refuse("taken") }),
      noting("C"),
    );
    const snapshot = snapshotOf("a");
    const refusal = framework.reserve(cycleOf(snapshot), snapshot.nodes[0]!);
    assert.deepEqual([refusal?.plugin, refusal?.reasons], ["B", ["taken"]]);
    assert.deepEqual(calls, ["reserve A", "unreserve C", "unreserve B", "unreserve A"]);
  });

  test("a plugin list that cannot work is refused at start", () => {
    const sorter: Plugin = { name: "Other", queueSort: () => 0 };
    assert.throws(() => frameworkOf(sorter), /2 scheduler plugins sort the queue/);
    assert.throws(() => frameworkOf({ name: "X" }, { name: "X" }), /two .* called "X"/);
    const weightless: Plugin = { name: "W", score: { weight: 0, points: () => 1 } };
    assert.throws(() => frameworkOf(weightless), /W: its weight is not positive/);
    assert.equal(on("Node", ["added"]).resource, "Node");
  });

  test("large clusters are searched in parts, each from where the last one ended", () => {
    assert.deepEqual(
      [50, 100, 200, 1_000, 5_000, 50_000].map((nodes) => nodesToFind(nodes)),
      [50, 100, 100, 420, 500, 2_500],
    );
    const names = Array.from({ length: 200 }, (_, index) => `n${index}`);
    const seen = new Set<string>();
    const framework = frameworkOf({ name: "See", filter: (_, { name }) => void seen.add(name) });
    const snapshot = snapshotOf(...names);
    framework.schedule(cycleOf(snapshot));
    assert.equal(seen.size, 100);
    framework.schedule(cycleOf(snapshot));
    assert.equal(seen.size, 200);
  });
});

describe("the snapshot", () => {
  test("follows nodes that come, change and go", () => {
    const snapshot = new Snapshot();
    const image = (name: string) => ({ status: { images: [{ names: [name], sizeBytes: 1 }] } });
    const [a, b] = [new NodeInfo("a"), new NodeInfo("b")];
    const set = (info: NodeInfo, node: NodeInfo["node"]) => {
      const { images } = info;
      info.setNode(node);
      snapshot.changed(info, images);
    };
    set(a, image("x"));
    set(b, image("x"));
    assert.equal(snapshot.nodesWithImage("x"), 2);
    set(b, image("y"));
    assert.deepEqual([snapshot.nodesWithImage("x"), snapshot.nodesWithImage("y")], [1, 1]);
    set(a, undefined);
    assert.deepEqual(
      snapshot.nodes.map(({ name }) => name),
      ["b"],
    );
    assert.equal(snapshot.nodesWithImage("x"), 0);
  });
});
