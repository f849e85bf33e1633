/** The next step of claims and volumes, as upstream documents them: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeClaimSpec,
  PersistentVolumeSpec,
} from "../../proto/gen/core.ts";
import type { StorageClass } from "../../proto/gen/storage.ts";
import { planClaim, planVolume } from "../../services/controllers/volumes/plan.ts";
import { planProtection, usesClaim } from "../../services/controllers/volumes/protection.ts";

const claim = (
  spec: PersistentVolumeClaimSpec = {},
  annotations: Record<string, string> = {},
): PersistentVolumeClaim => ({
  metadata: { name: "data", namespace: "default", uid: "u1", annotations },
  spec: {
    accessModes: ["ReadWriteOnce"],
    resources: { requests: { storage: "1Gi" } },
    ...spec,
  },
  status: { phase: "Pending" },
});
const volume = (
  name: string,
  spec: PersistentVolumeSpec = {},
  more: { labels?: Record<string, string>; annotations?: Record<string, string> } = {},
  phase = "Available",
): PersistentVolume => ({
  metadata: { name, ...more },
  spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], ...spec },
  status: { phase },
});
const storageClass = (name: string, change: StorageClass = {}): StorageClass => ({
  metadata: { name },
  provisioner: "trireme.io/host-path",
  volumeBindingMode: "Immediate",
  ...change,
});
const classes = [
  storageClass("fast"),
  storageClass("late", { volumeBindingMode: "WaitForFirstConsumer" }),
  storageClass("manual", { provisioner: "kubernetes.io/no-provisioner" }),
  storageClass("cloud", { provisioner: "ebs.csi.aws.com" }),
];
const mine = { name: "data", namespace: "default", uid: "u1" };
const other = { name: "other", namespace: "default", uid: "u2" };
const completed = { "pv.kubernetes.io/bind-completed": "yes" };
const onNode = { "volume.kubernetes.io/selected-node": "n1" };

function stepOf(
  one: PersistentVolumeClaim,
  volumes: readonly PersistentVolume[],
  waitingPod?: string,
): string {
  const step = planClaim(one, {
    volumes,
    waitingPod,
    volume: (name) => volumes.find(({ metadata }) => metadata?.name === name),
    storageClass: (name) => classes.find(({ metadata }) => metadata?.name === name),
  });
  switch (step.kind) {
    case "bind":
      return `bind ${step.volume.metadata?.name}`;
    case "provision":
      return `provision ${step.storageClass.metadata?.name}${step.node ? ` on ${step.node}` : ""}`;
    case "external":
      return `external ${step.provisioner}: ${step.event.reason}`;
    default:
      return `${step.kind}${step.event ? `: ${step.event.reason}: ${step.event.message}` : ""}`;
  }
}

const noVolume =
  "pending: FailedBinding: no persistent volumes available for this claim and no storage class " +
  "is set";
const claims: readonly [string, PersistentVolumeClaim, PersistentVolume[], string][] = [
  ["nothing there", claim(), [], noVolume],
  ["a volume of its size", claim(), [volume("a")], "bind a"],
  ["a larger one", claim(), [volume("a", { capacity: { storage: "5Gi" } })], "bind a"],
  ["a smaller one", claim(), [volume("a", { capacity: { storage: "1Mi" } })], noVolume],
  [
    "the smallest that is large enough",
    claim(),
    [
      volume("a", { capacity: { storage: "9Gi" } }),
      volume("b", { capacity: { storage: "2Gi" } }),
      volume("c", { capacity: { storage: "1Mi" } }),
    ],
    "bind b",
  ],
  [
    "all access modes must be there",
    claim({ accessModes: ["ReadWriteOnce", "ReadOnlyMany"] }),
    [volume("a"), volume("b", { accessModes: ["ReadOnlyMany", "ReadWriteOnce"] })],
    "bind b",
  ],
  [
    "the fewest access modes go before the smallest size",
    claim(),
    [
      volume("a", { accessModes: ["ReadWriteOnce", "ReadWriteMany"] }),
      volume("b", { capacity: { storage: "9Gi" } }),
    ],
    "bind b",
  ],
  ["another mode", claim({ accessModes: ["ReadWriteMany"] }), [volume("a")], noVolume],
  ["a block volume for files", claim(), [volume("a", { volumeMode: "Block" })], noVolume],
  [
    "a block volume for a block claim",
    claim({ volumeMode: "Block" }),
    [volume("a"), volume("b", { volumeMode: "Block" })],
    "bind b",
  ],
  [
    "labels that are selected",
    claim({ selector: { matchLabels: { disk: "ssd" } } }),
    [volume("a"), volume("b", {}, { labels: { disk: "ssd" } })],
    "bind b",
  ],
  ["a volume of a class for none", claim(), [volume("a", { storageClassName: "fast" })], noVolume],
  [
    "a volume of its class",
    claim({ storageClassName: "fast" }),
    [volume("a"), volume("b", { storageClassName: "fast" })],
    "bind b",
  ],
  ["a volume of another claim", claim(), [volume("a", { claimRef: other })], noVolume],
  ["a volume that is released", claim(), [volume("a", {}, {}, "Released")], noVolume],
  ["a volume nobody has looked at yet", claim(), [volume("a", {}, {}, "Pending")], noVolume],
  [
    "a volume kept for it goes before a smaller one",
    claim(),
    [
      volume("a"),
      volume("b", {
        capacity: { storage: "9Gi" },
        claimRef: { name: "data", namespace: "default" },
      }),
    ],
    "bind b",
  ],
  [
    "a volume kept for it may have another class",
    claim(),
    [volume("a", { storageClassName: "fast", claimRef: mine })],
    "bind a",
  ],
  [
    "a volume kept for it that is too small",
    claim(),
    [volume("a", { capacity: { storage: "1Mi" }, claimRef: mine })],
    noVolume,
  ],
  [
    "a volume kept for an earlier claim of its name",
    claim(),
    [volume("a", { claimRef: { ...mine, uid: "u0" } })],
    noVolume,
  ],
  ["its class makes one", claim({ storageClassName: "fast" }), [], "provision fast"],
  [
    "its class, by the older annotation",
    claim({}, { "volume.beta.kubernetes.io/storage-class": "fast" }),
    [],
    "provision fast",
  ],
  [
    "its class is missing",
    claim({ storageClassName: "gone" }),
    [],
    'pending: ProvisioningFailed: storageclass.storage.k8s.io "gone" not found',
  ],
  [
    "its class makes none",
    claim({ storageClassName: "manual" }),
    [],
    "pending: FailedBinding: no persistent volumes available for this claim",
  ],
  [
    "an outsider makes it",
    claim({ storageClassName: "cloud" }),
    [],
    "external ebs.csi.aws.com: ExternalProvisioning",
  ],
  [
    "directories are no block devices",
    claim({ storageClassName: "fast", volumeMode: "Block" }),
    [],
    "pending: ProvisioningFailed: spec: trireme.io/host-path makes directories, it supports no " +
      "volumeMode Block",
  ],
  [
    "no pod yet",
    claim({ storageClassName: "late" }),
    [],
    "pending: WaitForFirstConsumer: waiting for first consumer to be created before binding",
  ],
  [
    "free volumes are the scheduler's to choose",
    claim({ storageClassName: "late" }),
    [volume("a", { storageClassName: "late" })],
    "pending: WaitForFirstConsumer: waiting for first consumer to be created before binding",
  ],
  [
    "the scheduler has chosen a volume",
    claim({ storageClassName: "late" }),
    [volume("a", { storageClassName: "late", claimRef: mine })],
    "bind a",
  ],
  [
    "the scheduler has chosen a node",
    claim({ storageClassName: "late" }, onNode),
    [],
    "provision late on n1",
  ],
  ["it names a volume", claim({ volumeName: "b" }), [volume("a"), volume("b")], "bind b"],
  ["it names one that is not there yet", claim({ volumeName: "b" }), [volume("a")], "pending"],
  [
    "it names one that is too small",
    claim({ volumeName: "a" }),
    [volume("a", { capacity: { storage: "1Mi" } })],
    'pending: VolumeMismatch: Cannot bind to requested volume "a": requested PV is too small',
  ],
  [
    "it names one of another class",
    claim({ volumeName: "a" }),
    [volume("a", { storageClassName: "fast" })],
    'pending: VolumeMismatch: Cannot bind to requested volume "a": storageClassName does not match',
  ],
  [
    "it names one of another mode",
    claim({ volumeName: "a" }),
    [volume("a", { volumeMode: "Block" })],
    'pending: VolumeMismatch: Cannot bind to requested volume "a": incompatible volumeMode',
  ],
  [
    "it names one with other access modes",
    claim({ volumeName: "a" }),
    [volume("a", { accessModes: ["ReadOnlyMany"] })],
    'pending: VolumeMismatch: Cannot bind to requested volume "a": incompatible accessMode',
  ],
  [
    "it names one that another claim has",
    claim({ volumeName: "a" }),
    [volume("a", { claimRef: other })],
    'pending: FailedBinding: volume "a" already bound to a different claim.',
  ],
  [
    "it is bound",
    claim({ volumeName: "a" }, completed),
    [volume("a", { claimRef: mine }, {}, "Bound")],
    "bind a",
  ],
  [
    "it is bound, its volume has forgotten that",
    claim({ volumeName: "a" }, completed),
    [volume("a")],
    "bind a",
  ],
  [
    "its volume is gone",
    claim({ volumeName: "a" }, completed),
    [],
    "lost: ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!",
  ],
  [
    "its reference is gone",
    claim({}, completed),
    [volume("a")],
    "lost: ClaimLost: Bound claim has lost reference to PersistentVolume. Data on the volume is " +
      "lost!",
  ],
  [
    "its volume belongs to another",
    claim({ volumeName: "a" }, completed),
    [volume("a", { claimRef: other })],
    "lost: ClaimMisbound: Two claims are bound to the same volume, this one is bound incorrectly",
  ],
];
for (const [title, given, volumes, expected] of claims) {
  test(`claim: ${title}`, () => assert.equal(stepOf(given, volumes), expected));
}

test("claim: its pod waits for a node", () => {
  const expected = "pending: WaitForPodScheduled: waiting for pod web to be scheduled";
  assert.equal(stepOf(claim({ storageClassName: "late" }), [], "web"), expected);
});

const byController = { annotations: { "pv.kubernetes.io/bound-by-controller": "yes" } };
const ours = { annotations: { "pv.kubernetes.io/provisioned-by": "trireme.io/host-path" } };
const theirs = { annotations: { "pv.kubernetes.io/provisioned-by": "ebs.csi.aws.com" } };
const policy = (persistentVolumeReclaimPolicy: string) => ({
  persistentVolumeReclaimPolicy,
  claimRef: mine,
});
const volumes: readonly [string, PersistentVolume, PersistentVolumeClaim | undefined, object][] = [
  ["free", volume("a"), undefined, { kind: "phase", phase: "Available" }],
  [
    "kept for a claim to come",
    volume("a", { claimRef: { name: "data", namespace: "default" } }),
    undefined,
    { kind: "phase", phase: "Available" },
  ],
  [
    "bound",
    volume("a", { claimRef: mine }),
    claim({ volumeName: "a" }),
    { kind: "phase", phase: "Bound" },
  ],
  ["half bound", volume("a", { claimRef: mine }), claim(), { kind: "claim" }],
  [
    "its claim has another, a person chose",
    volume("a", { claimRef: mine }),
    claim({ volumeName: "b" }),
    { kind: "unbind", whole: false },
  ],
  [
    "its claim has another, a controller chose",
    volume("a", { claimRef: mine }, byController),
    claim({ volumeName: "b" }),
    { kind: "unbind", whole: true },
  ],
  [
    "made for a claim that has another",
    volume("a", policy("Delete"), ours),
    claim({ volumeName: "b" }),
    { kind: "release", reclaim: { kind: "delete" } },
  ],
  [
    "its claim is gone: Retain",
    volume("a", policy("Retain")),
    undefined,
    { kind: "release", reclaim: { kind: "keep" } },
  ],
  [
    "its claim is gone: Delete, made here",
    volume("a", policy("Delete"), ours),
    undefined,
    { kind: "release", reclaim: { kind: "delete" } },
  ],
  [
    "its claim is gone: Delete, made elsewhere",
    volume("a", policy("Delete"), theirs),
    undefined,
    { kind: "release", reclaim: { kind: "keep" } },
  ],
];
for (const [title, given, owner, expected] of volumes) {
  test(`volume: ${title}`, () => assert.deepEqual(planVolume(given, owner), expected));
}

test("volume: what cannot be reclaimed says why", () => {
  const failure = (name: string) => {
    const step = planVolume(volume("a", policy(name)), undefined);
    assert.equal(step.kind, "release");
    return step.kind === "release" && step.reclaim.kind === "fail" ? step.reclaim.event : undefined;
  };
  assert.deepEqual(failure("Delete"), {
    type: "Warning",
    reason: "VolumeFailedDelete",
    message:
      'error getting deleter volume plugin for volume "a": no deletable volume plugin matched',
  });
  assert.equal(failure("Recycle")?.message, "No recycler plugin found for the volume!");
});

test("volume: of another mode than its claim", () => {
  const step = planVolume(volume("a", { claimRef: mine, volumeMode: "Block" }), claim());
  assert.equal(step.kind === "claim" && step.event?.reason, "VolumeMismatch");
});

const finalizer = "kubernetes.io/pvc-protection";
const gone = "2026-01-01T00:00:00Z";
const protections: readonly [string, object, boolean, string | undefined][] = [
  ["new, without", {}, false, "add"],
  ["there, with", { finalizers: [finalizer] }, false, undefined],
  ["going, in use", { deletionTimestamp: gone, finalizers: [finalizer] }, true, undefined],
  ["going, unused", { deletionTimestamp: gone, finalizers: [finalizer] }, false, "remove"],
  ["going, without", { deletionTimestamp: gone, finalizers: ["x/y"] }, false, undefined],
];
for (const [title, metadata, inUse, expected] of protections) {
  test(`protection: ${title}`, () => {
    assert.equal(
      planProtection(metadata, finalizer, () => inUse),
      expected,
    );
  });
}

test("protection: a pod uses a claim of its namespace once it has a node", () => {
  const pod = (claimName: string, nodeName?: string, namespace = "default") => ({
    metadata: { namespace },
    spec: {
      ...(nodeName !== undefined && { nodeName }),
      volumes: [{ name: "v", persistentVolumeClaim: { claimName } }],
    },
  });
  assert.equal(usesClaim(pod("data", "n1"), claim()), true);
  assert.equal(usesClaim(pod("data"), claim()), false);
  assert.equal(usesClaim(pod("other", "n1"), claim()), false);
  assert.equal(usesClaim(pod("data", "n1", "elsewhere"), claim()), false);
});
