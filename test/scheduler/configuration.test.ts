/** `--config`: which profiles come of which file, and what a wrong one is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "../../ha/runtime/status-error.ts";
import { parseConfiguration } from "../../services/scheduler/configuration.ts";
import { defaultPlugins } from "../../services/scheduler/mod.ts";
import { node, place, pod } from "./world.ts";

const head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
const parse = (text: string) => parseConfiguration(head + text, defaultPlugins);
const weightOf = (text: string, name: string) =>
  parse(text).profiles[0]?.plugins.find((plugin) => plugin.name === name)?.score?.weight;

test("profiles: names, weights, and what is left out", () => {
  assert.deepEqual(
    parse("").profiles.map(({ schedulerName, plugins }) => [schedulerName, plugins.length]),
    [["default-scheduler", defaultPlugins.length]],
  );
  const two = parse(
    "profiles: [{schedulerName: a}, {schedulerName: b, percentageOfNodesToScore: 7}]",
  );
  assert.deepEqual(
    two.profiles.map(({ schedulerName }) => schedulerName),
    ["a", "b"],
  );
  assert.equal(two.profiles[1]?.percentageOfNodesToScore, 7);
  assert.equal(
    parse("percentageOfNodesToScore: 0").profiles[0]?.percentageOfNodesToScore,
    undefined,
  );
  const weighed = "profiles: [{plugins: {score: {enabled: [{name: NodeAffinity, weight: 9}]}}}]";
  assert.equal(weightOf(weighed, "NodeAffinity"), 9);
  assert.equal(weightOf(weighed, "TaintToleration"), 3);
  const none = 'profiles: [{plugins: {score: {disabled: [{name: "*"}]}}}]';
  const scoring = parse(none).profiles[0]?.plugins.filter(({ score }) => score !== undefined);
  assert.deepEqual(scoring, []);
  const one =
    'profiles: [{plugins: {score: {disabled: [{name: "*"}], enabled: [{name: ImageLocality}]}}}]';
  assert.equal(weightOf(one, "ImageLocality"), 1);
  assert.equal(weightOf(one, "NodeAffinity"), undefined);
  const { initialBackoffSeconds, maxBackoffSeconds } = parse(
    "podInitialBackoffSeconds: 2\npodMaxBackoffSeconds: 20",
  );
  assert.deepEqual([initialBackoffSeconds, maxBackoffSeconds], [2, 20]);
});

test("a plugin that is disabled refuses no pod any more", () => {
  const cordoned = () => ({ nodes: [node("a", {}, { spec: { unschedulable: true } })] });
  const text = "profiles: [{plugins: {multiPoint: {disabled: [{name: NodeUnschedulable}]}}}]";
  assert.equal(place(pod(), cordoned(), parse(text).profiles[0]?.plugins), "a");
  const filter = "profiles: [{plugins: {filter: {disabled: [{name: NodeUnschedulable}]}}}]";
  assert.equal(place(pod(), cordoned(), parse(filter).profiles[0]?.plugins), "a");
  assert.match(place(pod(), cordoned()), /were unschedulable/);
});

test("what is wrong is told by field", () => {
  const rows: [string, string][] = [
    ["profiles: {}", "profiles: must be a list"],
    ["profiles: []", "profiles: must have 1 to 32 profiles"],
    ["profiles: [{}, {}]", 'profiles[1].schedulerName: "default-scheduler" is there twice'],
    ["profiles: [{schedulerName: 5}]", "profiles[0].schedulerName: must be a name"],
    [
      "percentageOfNodesToScore: 101",
      "percentageOfNodesToScore: 101 is not a whole number in 0..100",
    ],
    ["podMaxBackoffSeconds: 0", "podMaxBackoffSeconds: 0 is not a whole number in 1..3600"],
    [
      "podInitialBackoffSeconds: 5\npodMaxBackoffSeconds: 4",
      "podMaxBackoffSeconds: 4 is not a whole number in 5..3600",
    ],
    ["profiles: [{plugins: {score: []}}]", "profiles[0].plugins.score: must be an object"],
    [
      "profiles: [{plugins: {score: {enabled: [{name: NodeAffinity, weight: 101}]}}}]",
      "profiles[0].plugins.score.enabled[0].weight: 101 is not a whole number in 1..100",
    ],
  ];
  for (const [text, message] of rows) {
    assert.throws(
      () => parse(text),
      (error) => StatusError.from(error).message === message,
      message,
    );
  }
  const unknown = "profiles: [{plugins: {score: {enabled: [{name: Mine}]}}}]";
  assert.throws(() => parse(unknown), /score\.enabled\[0\]\.name: "Mine" is not one of Scheduling/);
  assert.throws(() => parse("extenders: []"), /^StatusError: extenders: unknown field; known are /);
  assert.throws(() => parseConfiguration("kind: x", defaultPlugins), /apiVersion: must be kubesch/);
});
