import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event } from "../../proto/gen/core.ts";
import { createEventRecorder, parseDuration } from "../../services/client/mod.ts";
import { FakeClock } from "./fake-clock.ts";
import { quietLog } from "./quiet-log.ts";
import { RealApi } from "./real-api.ts";

test("a repeated event raises the count of the first", async () => {
  const clock = new FakeClock();
  await using api = await RealApi.open({ clock });
  const { events } = api.client();
  const recorder = createEventRecorder({ events, component: "test", clock, log: quietLog });
  const about = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "a", namespace: "default", uid: "u" },
  };
  recorder.event(about, "Normal", "Started", "one");
  await recorder.flush();
  clock.jump(60_000);
  recorder.event(about, "Normal", "Started", "one");
  recorder.event(about, "Warning", "Failed", "two");
  await recorder.flush();
  const found = api.all("Event");
  assert.deepEqual(
    found.map(({ reason, count, type }) => [reason, count, type]),
    [
      ["Started", 2, "Normal"],
      ["Failed", 1, "Warning"],
    ],
  );
  const [first] = found;
  assert.notEqual(first?.firstTimestamp, first?.lastTimestamp);
  assert.equal(first?.involvedObject?.uid, "u");
});

test("the same in ever other words is told together, and no more than an object may say", async () => {
  const clock = new FakeClock();
  await using api = await RealApi.open({ clock });
  const { events } = api.client();
  const recorder = createEventRecorder({ events, component: "test", clock, log: quietLog });
  const about = { apiVersion: "apps/v1", kind: "ReplicaSet", metadata: { name: "a", uid: "u" } };
  const say = (number: number) =>
    recorder.event(about, "Normal", "SuccessfulCreate", `Created pod: a-${number}`);
  const told = async () => {
    await recorder.flush();
    return api
      .all("Event")
      .map(({ count, message }) => `${count} ${message}`)
      .sort();
  };
  for (let number = 1; number <= 30; number++) say(number);
  const alone = Array.from({ length: 9 }, (_, index) => `1 Created pod: a-${index + 1}`);
  const combined = "(combined from similar events): Created pod:";
  assert.deepEqual(await told(), [...alone, `16 ${combined} a-25`].sort());
  clock.jump(300_000);
  for (const number of [31, 32]) say(number);
  assert.deepEqual(await told(), [...alone, `17 ${combined} a-31`].sort());
  // Another object has words of its own, and a group that was silent begins anew.
  recorder.event({ ...about, metadata: { name: "b", uid: "v" } }, "Normal", "Other", "one");
  assert.ok((await told()).includes("1 one"));
  clock.jump(600_001);
  say(33);
  assert.ok((await told()).includes("1 Created pod: a-33"));
});

test("counts never go back: not by a restart, another writer or an expired event", async () => {
  const clock = new FakeClock();
  await using api = await RealApi.open({ clock });
  const { events } = api.client();
  const make = () => createEventRecorder({ events, component: "test", clock, log: quietLog });
  const about = { apiVersion: "v1", kind: "Pod", metadata: { name: "a", namespace: "default" } };
  const note = async (recorder: ReturnType<typeof make>) => {
    recorder.event(about, "Normal", "Started", "one");
    await recorder.flush();
    const [event, ...others] = api.all("Event");
    assert.deepEqual(others, []);
    return event;
  };
  const first = make();
  const begun = (await note(first))?.firstTimestamp;
  clock.jump(60_000);
  for (const count of [2, 3]) assert.equal((await note(first))?.count, count);
  const second = make();
  assert.equal((await note(second))?.count, 4);
  assert.equal((await note(first))?.count, 5);
  assert.equal((await note(second))?.count, 6);
  const [last] = api.all("Event");
  assert.equal(last?.firstTimestamp, begun);
  await events.delete(last?.metadata?.name ?? "", "default");
  const anew = await note(second);
  assert.equal(anew?.count, 1);
  assert.notEqual(anew?.firstTimestamp, begun);
});

test("events about many objects are written side by side; those about one, in order", async () => {
  const clock = new FakeClock();
  let underWay = 0;
  let most = 0;
  const order: (string | undefined)[] = [];
  const events = {
    async create(event: Event) {
      most = Math.max(most, ++underWay);
      await new Promise((resolve) => clock.after(10, () => resolve(undefined)));
      underWay--;
      if (event.involvedObject?.name === "p7") order.push(event.reason);
      return event;
    },
    patch: () => Promise.reject(new Error("no event comes twice")),
  };
  const recorder = createEventRecorder({ events, component: "test", clock, log: quietLog });
  for (const reason of ["Scheduled", "Pulled", "Created", "Started"]) {
    for (let number = 0; number < 100; number++) {
      const metadata = { name: `p${number}`, namespace: "default", uid: `u${number}` };
      recorder.event({ metadata }, "Normal", reason, "m");
    }
  }
  await clock.advance(4_000);
  await recorder.flush();
  assert.deepEqual(order, ["Scheduled", "Pulled", "Created", "Started"]);
  assert.ok(most > 4 && most <= 8, `${most} writes at once`);
});

test("an API that refuses events does not disturb the component", async () => {
  const clock = new FakeClock();
  await using api = await RealApi.open({ clock });
  api.down = true;
  const { events } = api.client();
  const recorder = createEventRecorder({ events, component: "test", clock, log: quietLog });
  recorder.event({ metadata: { name: "a" } }, "Normal", "Started", "one");
  await recorder.flush();
  assert.equal(api.all("Event").length, 0);
});

test("durations in Go's notation", () => {
  const rows: [string, number][] = [
    ["15s", 15_000],
    ["500ms", 500],
    ["1m30s", 90_000],
    ["1.5h", 5_400_000],
    ["0", 0],
  ];
  for (const [text, millis] of rows) assert.equal(parseDuration(text, "--x"), millis, text);
  for (const text of ["", "15", "s", "1x", "-1s", "1s2"]) {
    assert.throws(() => parseDuration(text, "--x"), /--x: ".*" is not a duration/, text);
  }
});
