/** The state machine against a naive model that keeps every revision whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Operation, RangeRequest, Revision } from "../../ha/store/mod.ts";
import { pageReader, Snapshot, SnapshotReader, wipe } from "../../ha/store/mod.ts";
import { bytes, Machine, text } from "./harness.ts";
import { MemoryDisk } from "./memory-runtime.ts";

interface ModelValue {
  key: string;
  value: string;
  create: number;
  mod: number;
  version: number;
}
type ModelState = ReadonlyMap<string, ModelValue>;

class Model {
  /** By revision; 0 and 1 are empty. */
  readonly states: ModelState[] = [new Map(), new Map()];
  compacted = 0;

  get revision(): number {
    return this.states.length - 1;
  }

  run(operations: readonly ModelOperation[]): void {
    const next = new Map(this.states[this.revision]);
    const mod = this.revision + 1;
    let changed = false;
    for (const operation of operations) {
      if (operation.op === "put") {
        const { key, value } = operation;
        const before = next.get(key);
        const version = (before?.version ?? 0) + 1;
        next.set(key, { key, value, create: before?.create ?? mod, mod, version });
        changed = true;
      } else {
        for (const key of keysIn(next, operation.key, operation.end)) {
          next.delete(key);
          changed = true;
        }
      }
    }
    if (changed) this.states.push(next);
  }
}

function keysIn(state: ModelState, start: string, end: string | undefined): string[] {
  const inside = (key: string) =>
    end === undefined || end === "" ? key === start : key >= start && (end === "\0" || key < end);
  return [...state.keys()].filter(inside).sort();
}

type ModelOperation =
  | { op: "put"; key: string; value: string }
  | { op: "delete"; key: string; end: string | undefined };
type Step =
  | {
      kind: "txn";
      operations: ModelOperation[];
      expected: [string, number];
      otherwise: ModelOperation[];
    }
  | { kind: "compact"; back: number }
  | { kind: "restart" }
  | { kind: "copy" };

const key = fc.constantFrom(
  "a",
  "a\0",
  "ab",
  "b",
  "ba",
  "c",
  "\u00ff",
  "\u00ff\u00ff",
  "k/1",
  "k/2",
);
const end = fc.option(fc.constantFrom("\0", "b", "c", "l", "\u00ff", "a"), { nil: undefined });
const operation: fc.Arbitrary<ModelOperation> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant("put" as const),
      key,
      value: fc.string({ maxLength: 4, unit: "binary-ascii" }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("delete" as const), key, end }) },
);
/** Keeps only what may stand in one txn: no key written twice. */
const operations = fc.array(operation, { minLength: 1, maxLength: 4 }).map((all) => {
  const kept: ModelOperation[] = [];
  const deletes = all.filter((one) => one.op === "delete");
  for (const one of all) {
    if (one.op === "put") {
      const taken = kept.some((other) => other.op === "put" && other.key === one.key);
      const covered = deletes.some(
        (range) => keysIn(new Map([[one.key, {} as ModelValue]]), range.key, range.end).length > 0,
      );
      if (taken || covered) continue;
    }
    kept.push(one);
  }
  return kept;
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      kind: fc.constant("txn" as const),
      operations,
      expected: fc.tuple(key, fc.nat(3)),
      otherwise: operations,
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("compact" as const), back: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "restart" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "copy" as const }) },
);
const query = fc.record({
  key,
  end,
  back: fc.nat(12),
  limit: fc.nat(4),
  keysOnly: fc.boolean(),
  countOnly: fc.boolean(),
  sort: fc.option(
    fc.record({
      by: fc.constantFrom("key", "version", "create", "mod", "value"),
      order: fc.constantFrom("ascending", "descending"),
    }),
    { nil: undefined },
  ),
  minMod: fc.nat(9),
  maxCreate: fc.nat(9),
});
type Query = typeof query extends fc.Arbitrary<infer T> ? T : never;

function requestOf(operation: ModelOperation): Operation {
  if (operation.op === "put") {
    return { op: "put", key: bytes(operation.key), value: bytes(operation.value) };
  }
  const rangeEnd = operation.end === undefined ? undefined : bytes(operation.end);
  return { op: "delete", key: bytes(operation.key), rangeEnd };
}

function runModel(model: Model, step: Extract<Step, { kind: "txn" }>): void {
  const [name, version] = step.expected;
  const actual = model.states[model.revision]!.get(name)?.version ?? 0;
  model.run(actual === version ? step.operations : step.otherwise);
}

function checkQuery(machine: Machine, model: Model, asked: Query): void {
  const at = Math.max(model.revision - asked.back, 0);
  const revision = at === model.revision ? undefined : (at as Revision);
  const request = {
    key: bytes(asked.key),
    rangeEnd: asked.end === undefined ? undefined : bytes(asked.end),
    revision,
    limit: asked.limit,
    keysOnly: asked.keysOnly,
    countOnly: asked.countOnly,
    sort: asked.sort as RangeRequest["sort"],
    minModRevision: asked.minMod as Revision,
    maxCreateRevision: asked.maxCreate as Revision,
  };
  const read = at === 0 ? model.revision : at;
  if (read < model.compacted) {
    assert.throws(() => machine.machine.range(request), /required revision has been compacted/);
    return;
  }
  const state = model.states[read]!;
  const all = keysIn(state, asked.key, asked.end).map((name) => state.get(name)!);
  let chosen = all.filter(
    (kv) => kv.mod >= asked.minMod && (asked.maxCreate === 0 || kv.create <= asked.maxCreate),
  );
  if (asked.sort !== undefined) {
    const { by, order } = asked.sort;
    const sign = order === "ascending" ? 1 : -1;
    const field = by as "key" | "version" | "create" | "mod" | "value";
    chosen.sort((a, b) => (a[field] < b[field] ? -sign : a[field] > b[field] ? sign : 0));
  }
  const more = asked.limit > 0 && chosen.length > asked.limit && !asked.countOnly;
  if (asked.limit > 0) chosen = chosen.slice(0, asked.limit);
  const answer = machine.machine.range(request);
  const expected = chosen.map((kv) => ({ ...kv, value: asked.keysOnly ? "" : kv.value }));
  assert.deepEqual(
    answer.kvs.map((kv) => ({
      key: text(kv.key),
      value: text(kv.value),
      create: kv.createRevision,
      mod: kv.modRevision,
      version: kv.version,
    })),
    asked.countOnly ? [] : expected,
  );
  assert.equal(answer.more, more);
  assert.equal(answer.count, all.length);
  assert.equal(answer.revision, model.revision);
}

async function copy(machine: Machine): Promise<Machine> {
  const disk = new MemoryDisk();
  disk.content.set("R\0\0\0\0\0\0\0\u0009", Uint8Array.of(1));
  for await (const batch of wipe(pageReader(disk))) disk.write(batch, { sync: true }, () => {});
  const snapshot = new Snapshot(machine.machine);
  const reader = new SnapshotReader();
  for await (const chunk of snapshot.chunks(pageReader(machine.disk), 100)) {
    disk.write(reader.read(chunk), { sync: true }, () => {});
  }
  assert.equal(reader.complete?.revision, machine.machine.revision);
  return Machine.load(disk);
}

test("the state machine agrees with a model that keeps every revision", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60, size: "max" }),
      fc.array(query, { minLength: 10, maxLength: 10 }),
      fc.integer({ min: 1, max: 20 }),
      async (steps, queries, commandsPerWrite) => {
        let machine = new Machine();
        machine.commandsPerWrite = commandsPerWrite;
        const model = new Model();
        for (const [index, one] of steps.entries()) {
          if (one.kind === "txn") {
            runModel(model, one);
            machine.txn({
              compares: [
                {
                  key: bytes(one.expected[0]),
                  target: "version",
                  operator: "=",
                  operand: one.expected[1],
                },
              ],
              success: one.operations.map(requestOf),
              failure: one.otherwise.map(requestOf),
            });
          } else if (one.kind === "compact") {
            const revision = Math.max(0, model.revision - one.back);
            if (revision > model.compacted) {
              machine.compact(revision);
              model.compacted = revision;
            } else assert.throws(() => machine.compact(revision), /compacted/);
          } else {
            const hash = machine.machine.hash();
            machine.write();
            machine =
              one.kind === "restart" ? await Machine.load(machine.disk) : await copy(machine);
            machine.write();
            machine.commandsPerWrite = commandsPerWrite;
            assert.equal(machine.machine.hash(), hash);
          }
          assert.equal(machine.machine.revision, model.revision);
          checkQuery(machine, model, queries[index % queries.length]!);
        }
        for (const asked of queries) checkQuery(machine, model, asked);
        machine.write();
        const loaded = await Machine.load(machine.disk);
        for (let at = Math.max(model.compacted, 1); at <= model.revision; at++) {
          assert.equal(loaded.machine.hashKv(at), machine.machine.hashKv(at));
        }
      },
    ),
    { numRuns: 200 },
  );
});

test("two machines with the same log have the same hash and the same disk", async () => {
  await fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: "max" }), (steps) => {
      const one = new Machine();
      const other = new Machine(new MemoryDisk(), {
        self: { ...{ member: 2 as never }, incarnation: 1 },
      });
      for (const at of steps) {
        if (at.kind !== "txn") continue;
        const txn = { compares: [], success: at.operations.map(requestOf), failure: [] };
        const bytes = Uint8Array.from(one.encode([{ kind: "txn", txn }], `id-${at.expected[1]}`));
        const index = one.machine.appliedIndex + 1;
        for (const machine of [one, other]) {
          machine.machine.apply(index, 1, bytes);
          machine.write();
        }
      }
      assert.equal(one.machine.hash(), other.machine.hash());
      assert.deepEqual(one.disk.content, other.disk.content);
    }),
    { numRuns: 50 },
  );
});
