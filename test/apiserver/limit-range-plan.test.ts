/** What limit ranges give and refuse, in upstream's words: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { StatusError } from "../../ha/runtime/status-error.ts";
import type { Container, LimitRangeItem, PodSpec } from "../../proto/gen/core.ts";
import type { AdmissionRequest } from "../../services/apiserver/admission/chain.ts";
import { limitRanger } from "../../services/apiserver/admission/limit-ranger.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { kind } from "./harness.ts";

type Amounts = Record<string, string>;
const box = (requests?: Amounts, limits?: Amounts, name = "c"): Container => ({
  name,
  resources: { ...(requests && { requests }), ...(limits && { limits }) },
});
const of = (type: string, item: LimitRangeItem): LimitRangeItem => ({ type, ...item });
const container = (item: LimitRangeItem) => of("Container", item);

function requestOf(document: Document, more: Partial<AdmissionRequest>): AdmissionRequest {
  const plural = document.kind === "Pod" ? "pods" : "persistentvolumeclaims";
  return {
    user: { name: "u", groups: [] },
    operation: "create",
    resource: kind(plural),
    ...{ subresource: "", namespace: "default", name: "p", document, stored: undefined },
    ...{ dryRun: false, warnings: [], notes: new Map() },
    ...more,
  };
}

async function refusal(
  items: readonly LimitRangeItem[],
  document: Document,
  more: Partial<AdmissionRequest> = {},
): Promise<string> {
  const plugin = limitRanger(() => [{ spec: { limits: [...items] } }]);
  try {
    await plugin.validate?.(requestOf(document, more));
    return "";
  } catch (error) {
    return (error as StatusError).message.replace(/^\S+ "p" is forbidden: /, "");
  }
}
const podOf = (spec: PodSpec): Document =>
  ({ kind: "Pod", metadata: { name: "p" }, spec }) as Document;
const claimOf = (storage: string | undefined): Document =>
  ({
    kind: "PersistentVolumeClaim",
    metadata: { name: "p" },
    spec: { resources: { requests: storage === undefined ? {} : { storage } } },
  }) as Document;

const cpu = (amount: string) => ({ cpu: amount });
const memory = (amount: string) => ({ memory: amount });
const rows: readonly [string, LimitRangeItem, PodSpec, string][] = [
  [
    "within",
    container({ min: cpu("1"), max: cpu("2") }),
    { containers: [box(cpu("1"), cpu("2"))] },
    "",
  ],
  [
    "less than the least",
    container({ min: cpu("1") }),
    { containers: [box(cpu("900m"), cpu("2"))] },
    "minimum cpu usage per Container is 1, but request is 900m",
  ],
  [
    "a limit below the least",
    container({ min: cpu("1") }),
    { containers: [box(cpu("1"), cpu("500m"))] },
    "minimum cpu usage per Container is 1, but limit is 500m",
  ],
  [
    "no request where there is a least",
    container({ min: cpu("1") }),
    { containers: [box()] },
    "minimum cpu usage per Container is 1.  No request is specified",
  ],
  [
    "more than the most",
    container({ max: memory("1Gi") }),
    { containers: [box(memory("1Gi"), memory("2Gi"))] },
    "maximum memory usage per Container is 1Gi, but limit is 2Gi",
  ],
  [
    "no limit where there is a most",
    container({ max: memory("1Gi") }),
    { containers: [box(memory("1Gi"))] },
    "maximum memory usage per Container is 1Gi.  No limit is specified",
  ],
  [
    "a request above the most",
    container({ max: memory("1Gi") }),
    { containers: [box(memory("2Gi"), memory("1Gi"))] },
    "maximum memory usage per Container is 1Gi, but request is 2Gi",
  ],
  [
    "the ratio holds",
    container({ maxLimitRequestRatio: cpu("2") }),
    { containers: [box(cpu("1"), cpu("2"))] },
    "",
  ],
  [
    "the ratio is too large",
    container({ maxLimitRequestRatio: cpu("2") }),
    { containers: [box(cpu("1"), cpu("2500m"))] },
    "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000",
  ],
  [
    "a ratio that is no whole number",
    container({ maxLimitRequestRatio: memory("1500m") }),
    { containers: [box(memory("1Gi"), memory("2Gi"))] },
    "memory max limit to request ratio per Container is 1500m, but provided ratio is 2.000000",
  ],
  [
    "no request for a ratio",
    container({ maxLimitRequestRatio: cpu("2") }),
    { containers: [box(undefined, cpu("1"))] },
    "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
  ],
  [
    "a request of nothing for a ratio",
    container({ maxLimitRequestRatio: cpu("2") }),
    { containers: [box(cpu("0"), cpu("1"))] },
    "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
  ],
  [
    "no limit for a ratio",
    container({ maxLimitRequestRatio: cpu("2") }),
    { containers: [box(cpu("1"))] },
    "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
  ],
  [
    "init containers are held to it, too",
    container({ max: cpu("1") }),
    { containers: [box(cpu("1"), cpu("1"))], initContainers: [box(cpu("1"), cpu("2"))] },
    "maximum cpu usage per Container is 1, but limit is 2",
  ],
  [
    "the same fault is told once",
    container({ max: cpu("1") }),
    { containers: [box(cpu("1"), cpu("2")), box(cpu("1"), cpu("2"), "d")] },
    "maximum cpu usage per Container is 1, but limit is 2",
  ],
  [
    "several faults",
    container({ min: cpu("1"), max: memory("1Gi") }),
    { containers: [box({ cpu: "500m" }, { memory: "2Gi" })] },
    "[minimum cpu usage per Container is 1, but request is 500m, maximum memory usage per Container " +
      "is 1Gi, but limit is 2Gi]",
  ],
  [
    "a pod's containers together",
    of("Pod", { max: cpu("3") }),
    { containers: [box(cpu("2"), cpu("2")), box(cpu("2"), cpu("2"))] },
    "maximum cpu usage per Pod is 3, but limit is 4",
  ],
  [
    "its init containers one by one",
    of("Pod", { max: cpu("3") }),
    {
      containers: [box(cpu("1"), cpu("1"))],
      initContainers: [box(cpu("2"), cpu("2")), box(cpu("2"), cpu("2"))],
    },
    "",
  ],
  [
    "the largest init container counts",
    of("Pod", { max: cpu("3") }),
    { containers: [box(cpu("1"), cpu("1"))], initContainers: [box(cpu("4"), cpu("4"))] },
    "maximum cpu usage per Pod is 3, but limit is 4",
  ],
  [
    "its sidecars count beside them",
    of("Pod", { max: cpu("3") }),
    {
      containers: [box(cpu("2"), cpu("2"))],
      initContainers: [{ ...box(cpu("2"), cpu("2")), restartPolicy: "Always" }],
    },
    "maximum cpu usage per Pod is 3, but limit is 4",
  ],
  [
    "the ratio of the whole pod",
    of("Pod", { maxLimitRequestRatio: cpu("2") }),
    { containers: [box(cpu("1"), cpu("1")), box(cpu("1"), cpu("5"))] },
    "cpu max limit to request ratio per Pod is 2, but provided ratio is 3.000000",
  ],
  [
    "a bound of claims",
    of("PersistentVolumeClaim", { max: { storage: "1Gi" } }),
    { containers: [box()] },
    "",
  ],
];
for (const [title, item, spec, expected] of rows) {
  test(`limit range, a pod: ${title}`, async () => {
    assert.equal(await refusal([item], podOf(spec)), expected);
  });
}

const bounds = of("PersistentVolumeClaim", { min: { storage: "1Gi" }, max: { storage: "2Gi" } });
const claimRows: readonly [string, string | undefined, string][] = [
  ["within", "2Gi", ""],
  [
    "too small",
    "1023Mi",
    "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1023Mi",
  ],
  [
    "too large",
    "3Gi",
    "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi",
  ],
];
for (const [title, storage, expected] of claimRows) {
  test(`limit range, a claim: ${title}`, async () => {
    assert.equal(await refusal([bounds], claimOf(storage)), expected);
  });
}

test("limit range: a claim that grows is looked at, one that goes is not; nor is a pod's update", async () => {
  const grown = "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi";
  const update = { operation: "update", stored: claimOf("1Gi") } as const;
  assert.equal(await refusal([bounds], claimOf("3Gi"), update), grown);
  const going = { kind: "PersistentVolumeClaim", metadata: { deletionTimestamp: "t" } } as Document;
  const late = { operation: "update", stored: going } as const;
  assert.equal(await refusal([bounds], claimOf("3Gi"), late), "");
  const most = container({ max: cpu("1") });
  const large = podOf({ containers: [box(cpu("2"), cpu("2"))] });
  const labelled = { operation: "update", stored: large } as const;
  assert.equal(await refusal([most], large, labelled), "");
  const resized = { ...labelled, subresource: "resize" } as const;
  assert.match(await refusal([most], large, resized), /but limit is 2$/);
});

const given: readonly [string, LimitRangeItem, PodSpec, object, string][] = [
  [
    "a request",
    container({ defaultRequest: cpu("1") }),
    { containers: [box()] },
    { requests: cpu("1") },
    "cpu request for container c",
  ],
  [
    "requests and limits",
    container({ defaultRequest: cpu("1"), default: { cpu: "2", memory: "1Gi" } }),
    { containers: [box()] },
    { requests: cpu("1"), limits: { cpu: "2", memory: "1Gi" } },
    "cpu request for container c; cpu, memory limit for container c",
  ],
  [
    "only what is not there",
    container({ defaultRequest: cpu("1"), default: cpu("2") }),
    { containers: [box(cpu("500m"))] },
    { requests: cpu("500m"), limits: cpu("2") },
    "cpu limit for container c",
  ],
];
for (const [title, item, spec, expected, note] of given) {
  test(`limit range, given: ${title}`, async () => {
    const plugin = limitRanger(() => [{ spec: { limits: [item] } }]);
    const document = podOf(structuredClone(spec));
    await plugin.mutate?.(requestOf(document, {}));
    const [first] = (document["spec"] as PodSpec).containers ?? [];
    assert.deepEqual(first?.resources, expected);
    const text = document.metadata?.annotations?.["kubernetes.io/limit-ranger"];
    assert.equal(text, `LimitRanger plugin set: ${note}`);
  });
}
