/** Groups of pods that go together or not at all, and pods that must run in time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "../../proto/gen/core.ts";
import { deadlineAnnotation } from "../../services/scheduler/mod.ts";
import {
  groupTimeoutAnnotation,
  minMemberAnnotation,
  podGroupLabel,
} from "../../services/scheduler/plugins/pod-groups.ts";
import { durationAnnotation } from "../../services/scheduler/pod-info.ts";
import { settle } from "../client/fake-clock.ts";
import { node, pod, start } from "./harness.ts";

const member = (
  name: string,
  group: string,
  annotations: Record<string, string> = { [minMemberAnnotation]: "3" },
): Pod =>
  pod(name, "800m", {
    metadata: { name, namespace: "default", labels: { [podGroupLabel]: group }, annotations },
  });

test("pods of a group wait until so many exist, and then all get nodes", async () => {
  const { clock, client, begin, end, nodeOf, conditionOf } = await start();
  begin();
  for (const name of ["n1", "n2", "n3"]) await client.nodes.create(node(name, "1"));
  await client.pods.create(member("a", "g"));
  await client.pods.create(member("b", "g"));
  await settle();
  await clock.advance(5_000);
  assert.equal(nodeOf("a"), undefined);
  assert.match(
    conditionOf("a")?.message ?? "",
    /^0\/3 nodes are available: pod group "g" has [12] of the 3 pods it needs\.$/,
  );
  await client.pods.create(member("c", "g"));
  const all = () => ["a", "b", "c"].every((name) => nodeOf(name) !== undefined);
  await clock.until(all, "all are bound", 30_000);
  await client.pods.create({ ...member("d", "g"), spec: pod("d", "100m").spec });
  await clock.until(() => nodeOf("d") !== undefined, "one more goes alone", 10_000);
  await end();
});

test("a group that does not fit holds no room", async () => {
  const { api, clock, client, begin, end, nodeOf, conditionOf } = await start();
  begin();
  for (const name of ["n1", "n2"]) await client.nodes.create(node(name, "1"));
  for (const name of ["a", "b", "c"]) await client.pods.create(member(name, "g"));
  await settle();
  await clock.advance(2_000);
  const waiting = ["a", "b", "c"].map((name) => conditionOf(name)?.message ?? "");
  assert.ok(
    waiting.some((message) =>
      /^pod group "g": 2 of the 3 pods that need nodes at once find one$/.test(message),
    ),
  );
  await client.pods.create(pod("alone", "800m"));
  await clock.until(() => nodeOf("alone") !== undefined, "another takes the room", 60_000);
  assert.deepEqual(["a", "b", "c"].map(nodeOf), [undefined, undefined, undefined]);
  const isTold = () => api.all("Event").filter(({ reason }) => reason === "PodGroupTimeout");
  await clock.until(() => isTold().length === 3, "its pods say so", 400_000);
  assert.match(isTold()[0]?.message ?? "", /^pod group "g" has found no room within 1m0s; /);
  await end();
});

test("two groups that each fit alone do not block each other", async () => {
  const { clock, client, begin, end, nodeOf, remove } = await start();
  for (const name of ["n1", "n2", "n3"]) await client.nodes.create(node(name, "1"));
  const names = ["a", "b", "c"];
  for (const name of names) {
    for (const group of ["g", "h"]) await client.pods.create(member(`${name}-${group}`, group));
  }
  begin();
  const bound = (group: string) => names.filter((name) => nodeOf(`${name}-${group}`)).length;
  await clock.until(() => bound("g") + bound("h") === 3, "one group is bound", 120_000);
  const first = bound("g") === 3 ? "g" : "h";
  assert.equal(bound(first), 3);
  for (const name of names) await remove(`${name}-${first}`);
  const second = first === "g" ? "h" : "g";
  await clock.until(() => bound(second) === 3, "then the other", 120_000);
  await end();
});

test("what is wrong with a group's annotations is told", async () => {
  const { client, begin, end, conditionOf } = await start();
  begin();
  await client.nodes.create(node("n1", "4"));
  await client.pods.create(member("a", "g", { [minMemberAnnotation]: "some" }));
  const annotations = { [minMemberAnnotation]: "2", [groupTimeoutAnnotation]: "86401" };
  await client.pods.create(member("b", "h", annotations));
  await settle();
  const told = (name: string, value: string, most: number) =>
    `0/1 nodes are available: metadata.annotations[${name}]: Invalid value: "${value}": must be a ` +
    `whole number in 1..${most}.`;
  assert.equal(conditionOf("a")?.message, told(minMemberAnnotation, "some", 5_000));
  assert.equal(conditionOf("b")?.message, told(groupTimeoutAnnotation, "86401", 86_400));
  await end();
});

test("a missed deadline is told once, in an event and a condition, and the pod goes on", async () => {
  const { api, clock, client, begin, end, nodeOf } = await start();
  begin();
  const at = (seconds: number) => new Date(clock.wallMillis() + seconds * 1_000).toISOString();
  const dated = (name: string, annotations: Record<string, string>) =>
    pod(name, "100m", { metadata: { name, namespace: "default", annotations } });
  await client.pods.create(dated("late", { [deadlineAnnotation]: at(60) }));
  await client.pods.create(
    dated("long", { [deadlineAnnotation]: at(600), [durationAnnotation]: "590" }),
  );
  await client.pods.create(dated("wrong", { [deadlineAnnotation]: "soon" }));
  await settle();
  const told = (name: string) =>
    api
      .all("Event")
      .filter(
        ({ reason, involvedObject }) =>
          reason !== "FailedScheduling" && involvedObject?.name === name,
      )
      .map(({ reason }) => reason);
  assert.deepEqual(told("late"), []);
  assert.deepEqual(told("wrong"), ["InvalidDeadline"]);
  await clock.advance(15_000);
  assert.deepEqual(told("long"), ["DeadlineMissed"]);
  assert.deepEqual(told("late"), []);
  await clock.advance(60_000);
  assert.deepEqual(told("late"), ["DeadlineMissed"]);
  const condition = api
    .get("Pod", "default/late")
    ?.status?.conditions?.find(({ type }) => type === "DeadlineMissed");
  assert.equal(condition?.status, "True");
  assert.match(
    condition?.message ?? "",
    /^metadata\.annotations\[trireme\.dev\/deadline\]: the deadline /,
  );
  await client.nodes.create(node("n1"));
  await clock.until(() => nodeOf("late") === "n1", "the pod is bound", 20_000);
  await end();
});
