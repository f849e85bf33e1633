import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { Binder } from "../../services/scheduler/binder.ts";

interface Sent {
  readonly names: readonly string[];
  readonly fence: unknown;
  answer(outcomes?: readonly (StatusError | undefined)[]): void;
  fail(error: StatusError): void;
}

/** Holds every call until the test answers it. */
class Api {
  readonly calls: Sent[] = [];

  async bind(pod: { name: string }, _node: string, options?: { fence?: unknown }): Promise<void> {
    const [failure] = await this.#held([pod.name], options?.fence);
    if (failure) throw failure;
  }

  bindAll(
    bindings: readonly { readonly pod: { readonly name: string } }[],
    options?: { fence?: unknown },
  ): Promise<(StatusError | undefined)[]> {
    return this.#held(
      bindings.map(({ pod }) => pod.name),
      options?.fence,
    );
  }

  #held(names: readonly string[], fence: unknown): Promise<(StatusError | undefined)[]> {
    return new Promise((resolve, reject) => {
      const answer = (outcomes: readonly (StatusError | undefined)[] = []) => {
        resolve([...outcomes]);
      };
      this.calls.push({ names, fence, answer, fail: reject });
    });
  }
}

const leading = () => ({ fence: undefined, signal: new AbortController().signal });

function outcomesOf(binder: Binder, names: readonly string[], term = leading()) {
  const outcomes = new Map<string, string>();
  for (const name of names) {
    binder.bind({ name, namespace: "default" }, "n1", term).then(
      () => outcomes.set(name, "bound"),
      (error: StatusError) => outcomes.set(name, error.message),
    );
  }
  return outcomes;
}

test("few bindings are sent at once and alone; what comes meanwhile is sent together", async () => {
  const api = new Api();
  const binder = new Binder(api, { callsMax: 2, batchMax: 3 });
  const outcomes = outcomesOf(binder, ["a", "b", "c", "d", "e", "f"]);
  assert.deepEqual(
    api.calls.map(({ names }) => names),
    [["a"], ["b"]],
  );
  api.calls[0]?.answer();
  await turn();
  assert.deepEqual(api.calls[2]?.names, ["c", "d", "e"]);
  api.calls[1]?.answer();
  await turn();
  assert.deepEqual(api.calls[3]?.names, ["f"]);
  api.calls[2]?.answer([undefined, new StatusError(Code.notFound, "no such pod"), undefined]);
  await turn();
  assert.deepEqual(Object.fromEntries(outcomes), {
    ...{ a: "bound", b: "bound", c: "bound", d: "no such pod", e: "bound" },
  });
});

test("a call that fails fails each of its bindings, and the next call goes on", async () => {
  const api = new Api();
  const binder = new Binder(api, { callsMax: 1, batchMax: 10 });
  const outcomes = outcomesOf(binder, ["a", "b", "c"]);
  api.calls[0]?.answer();
  await turn();
  api.calls[1]?.fail(new StatusError(Code.unavailable, "no leader"));
  await turn();
  const later = outcomesOf(binder, ["d"]);
  api.calls[2]?.answer();
  await turn();
  assert.deepEqual([outcomes.get("b"), outcomes.get("c")], ["no leader", "no leader"]);
  assert.equal(later.get("d"), "bound");
});

test("bindings of two terms of leadership never share a call", async () => {
  const api = new Api();
  const binder = new Binder(api, { callsMax: 1, batchMax: 10 });
  outcomesOf(binder, ["a", "b", "c"]);
  outcomesOf(binder, ["x", "y"]);
  api.calls[0]?.answer();
  await turn();
  assert.deepEqual(api.calls[1]?.names, ["b", "c"]);
  api.calls[1]?.answer([undefined, undefined]);
  await turn();
  assert.deepEqual(api.calls[2]?.names, ["x", "y"]);
});
