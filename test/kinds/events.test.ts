import assert from "node:assert/strict";
import { test } from "node:test";
import { type Loose, row } from "./documents.ts";
import { registry } from "./registry.ts";
import { assertFaults, documents, updateFaults } from "./tables.ts";

const event = documents("events.k8s.io/v1", "Event", true);
const full = {
  eventTime: "2026-01-01T00:00:00.000000Z",
  reportingController: "example.com/reporter",
  reportingInstance: "r-0",
  action: "Bind",
  reason: "Bound",
  regarding: { kind: "Pod", namespace: "default", name: "p" },
  note: "bound to n",
  type: "Normal",
};
const of = (fields: Loose = {}) => event({ ...full, ...fields });

test("a new event: every fault in its words", () => {
  assertFaults([
    [of(), []],
    [of({ series: { count: 2, lastObservedTime: full.eventTime } }), []],
    [
      of({ reportingController: undefined, reportingInstance: "x".repeat(129), action: undefined }),
      [
        "reportingController: Required value",
        'reportingController: Invalid value: "": name part must be non-empty',
        'reportingController: Invalid value: "": name part must consist of alphanumeric ' +
          "characters, '-', '_' or '.', and must start and end with an alphanumeric character " +
          "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is " +
          "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        'reportingInstance: Invalid value: "": can have at most 128 characters',
        "action: Required value",
      ],
    ],
    [
      of({ note: "x".repeat(1_025) }),
      ['message: Invalid value: "": can have at most 1024 characters'],
    ],
    [
      of({ type: "Odd", deprecatedCount: 3, deprecatedSource: { component: "c" } }),
      [
        'type: Invalid value: "": has invalid value: Odd',
        'count: Invalid value: "": needs to be unset',
        'source: Invalid value: "": needs to be unset',
      ],
    ],
    [
      of({ deprecatedFirstTimestamp: "x", deprecatedLastTimestamp: "x" }),
      [
        'firstTimestamp: Invalid value: "": needs to be unset',
        'lastTimestamp: Invalid value: "": needs to be unset',
      ],
    ],
    [
      of({ series: { count: 1 } }),
      [
        'series.count: Invalid value: "": should be at least 2',
        "series.lastObservedTime: Required value",
      ],
    ],
    [
      of({ regarding: { kind: "Node", name: "n" }, metadata: { name: "e", namespace: "other" } }),
      ['involvedObject.namespace: Invalid value: "": does not match event.namespace'],
    ],
  ]);
});

test("only the series of an event changes", () => {
  assert.deepEqual(
    updateFaults(of(), (next) => {
      next.series = { count: 2, lastObservedTime: full.eventTime };
    }),
    [],
  );
  assert.deepEqual(
    updateFaults(of(), (next) => Object.assign(next, { note: "x", reportingController: "y" })),
    [
      'message: Invalid value: "x": field is immutable',
      'reportingController: Invalid value: "y": field is immutable',
    ],
  );
});

test("an event: the fields of both versions, columns, selectable fields", () => {
  const kind = registry.byKind("events.k8s.io/v1", "Event");
  const document = of({ deprecatedCount: 4, deprecatedLastTimestamp: "2026-01-01T00:00:00Z" });
  const stored = kind?.storedAs?.toStored(document) as Loose;
  assert.equal(stored.apiVersion, "v1");
  assert.deepEqual(stored.involvedObject, full.regarding);
  assert.deepEqual(
    [stored.message, stored.reportingComponent, stored.count, stored.lastTimestamp],
    [full.note, full.reportingController, 4, "2026-01-01T00:00:00Z"],
  );
  assert.deepEqual(kind?.storedAs?.fromStored(stored), document);
  const { Object: object, Message, Count } = row(document, 0);
  assert.deepEqual([object, Message, Count], ["pod/p", "bound to n", "4"]);
  assert.equal(kind?.selectableFields["regarding.name"]?.(document), "p");
});
