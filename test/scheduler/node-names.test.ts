/** Pods that name their nodes by affinity, as those of daemons do: no other node is looked at. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeSelectorTerm, PodSpec } from "../../proto/gen/core.ts";
import { cpu, node, place, pod, type World } from "./world.ts";

const terms = (...nodeSelectorTerms: NodeSelectorTerm[]): PodSpec => ({
  affinity: {
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
  },
});
const named = (...values: string[]): NodeSelectorTerm => ({
  matchFields: [{ key: "metadata.name", operator: "In", values }],
});
const labelled: NodeSelectorTerm = {
  matchExpressions: [{ key: "disk", operator: "In", values: ["ssd"] }],
};

const rows: readonly (readonly [what: string, spec: PodSpec, expected: string])[] = [
  ["one name", terms(named("b")), "b"],
  ["a name or a label", terms(named("none"), labelled), "c"],
  ["a name and a label that it has not", terms({ ...named("b"), ...labelled }), "none of them"],
  [
    "two lists of names in one term",
    terms({
      matchFields: [...(named("a", "b").matchFields ?? []), ...(named("b", "c").matchFields ?? [])],
    }),
    "b",
  ],
  ["two terms of names", terms(named("none"), named("c")), "c"],
  [
    "a name that no node has",
    terms(named("none")),
    "0/3 nodes are available: 3 node(s) didn't satisfy plugin(s) [NodeAffinity].",
  ],
  [
    "the named node is full",
    { ...terms(named("b")), ...cpu("9") },
    "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity].",
  ],
];

test("only the nodes that are named", () => {
  const notIt =
    "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 node(s) " +
    "didn't satisfy plugin(s) [NodeAffinity].";
  for (const [what, spec, expected] of rows) {
    const world: World = { nodes: [node("a"), node("b"), node("c", { disk: "ssd" })] };
    assert.equal(place(pod({}, spec), world), expected === "none of them" ? notIt : expected, what);
  }
});
