/** What a terminating namespace says of what is found in it, in upstream's words: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NamespaceCondition } from "../../proto/gen/core.ts";
import {
  type Findings,
  isEmptied,
  withFindings,
} from "../../services/controllers/namespace/conditions.ts";

const nothing: Findings = { contentErrors: [], remaining: new Map(), finalizers: new Map() };
const found = (change: Partial<Findings>): Findings => ({ ...nothing, ...change });
const fine: Readonly<Record<string, string>> = {
  NamespaceDeletionDiscoveryFailure:
    "False ResourcesDiscovered: All resources successfully discovered",
  NamespaceDeletionGroupVersionParsingFailure:
    "False ParsedGroupVersions: All legacy kube types successfully parsed",
  NamespaceDeletionContentFailure:
    "False ContentDeleted: All content successfully deleted, may be waiting on finalization",
  NamespaceContentRemaining: "False ContentRemoved: All content successfully removed",
  NamespaceFinalizersRemaining:
    "False ContentHasNoFinalizers: All content-preserving finalizers finished",
};
const content = (text: string) => ({
  NamespaceDeletionContentFailure: `True ContentDeletionFailed: ${text}`,
});
const remaining = (text: string) => ({
  NamespaceContentRemaining: `True SomeResourcesRemain: ${text}`,
});
const finalizers = (text: string) => ({
  NamespaceFinalizersRemaining: `True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: ${text}`,
});

const rows: readonly [string, Findings, emptied: boolean, object][] = [
  ["nothing", nothing, true, {}],
  [
    "no discovery",
    found({ discoveryError: "no discovery today" }),
    false,
    { NamespaceDeletionDiscoveryFailure: "True DiscoveryFailed: no discovery today" },
  ],
  [
    "a version that cannot be read",
    found({ versionError: "foos.ex.io: the version or kind is missing" }),
    false,
    {
      NamespaceDeletionGroupVersionParsingFailure:
        "True GroupVersionParsingFailed: foos.ex.io: the version or kind is missing",
    },
  ],
  [
    "a kind that cannot be emptied",
    found({ contentErrors: ["secrets.: locked"] }),
    false,
    content("Failed to delete all resource types, 1 remaining: secrets.: locked"),
  ],
  [
    "two of them, in order",
    found({ contentErrors: ["secrets.: locked", "jobs.batch: busy"] }),
    false,
    content("Failed to delete all resource types, 2 remaining: jobs.batch: busy, secrets.: locked"),
  ],
  [
    "objects that are left",
    found({ remaining: new Map([["pods.", 2]]) }),
    false,
    remaining("Some resources are remaining: pods. has 2 resource instances"),
  ],
  [
    "objects of two kinds, in order",
    found({
      remaining: new Map([
        ["secrets.", 1],
        ["jobs.batch", 3],
      ]),
    }),
    false,
    remaining(
      "Some resources are remaining: jobs.batch has 3 resource instances, secrets. has 1 resource instances",
    ),
  ],
  [
    "objects that finalizers hold",
    found({
      remaining: new Map([["pods.", 2]]),
      finalizers: new Map([
        ["b/x", 1],
        ["a/x", 2],
      ]),
    }),
    false,
    {
      ...remaining("Some resources are remaining: pods. has 2 resource instances"),
      ...finalizers("a/x in 2 resource instances, b/x in 1 resource instances"),
    },
  ],
];
const said = (conditions: readonly NamespaceCondition[]) =>
  Object.fromEntries(
    conditions.map(({ type, status, reason, message }) => [
      type,
      `${status} ${reason}: ${message}`,
    ]),
  );
for (const [title, findings, emptied, expected] of rows) {
  test(`found: ${title}`, () => {
    assert.equal(isEmptied(findings), emptied);
    assert.deepEqual(said(withFindings([], findings, 0)), { ...fine, ...expected });
  });
}

test("a condition changes its time with its status alone, and those of others stay", () => {
  const other = { type: "example.com/Audited", status: "True" };
  const of = (conditions: readonly NamespaceCondition[]) => {
    const each = conditions.find(({ type }) => type === "NamespaceContentRemaining");
    return [each?.lastTransitionTime, each?.message?.match(/\d/)?.[0]];
  };
  const left = (count: number) => found({ remaining: new Map([["pods.", count]]) });
  const first = withFindings([other], left(2), 0);
  const second = withFindings(first, left(1), 1_000);
  const third = withFindings(second, nothing, 2_000);
  assert.deepEqual(of(first), ["1970-01-01T00:00:00Z", "2"]);
  assert.deepEqual(of(second), ["1970-01-01T00:00:00Z", "1"]);
  assert.deepEqual(of(third), ["1970-01-01T00:00:02Z", undefined]);
  assert.deepEqual(third[0], other);
});
