import assert from "node:assert/strict";
import { test } from "node:test";
import { type Loose, row } from "./documents.ts";
import { assertFaults, created, documents, updateFaults } from "./tables.ts";

const version = "storage.k8s.io/v1";
const storageClass = documents(version, "StorageClass");
const attachment = documents(version, "VolumeAttachment");
const driver = documents(version, "CSIDriver");
const node = documents(version, "CSINode");
const capacity = documents(version, "CSIStorageCapacity", true);

const topology = (...expressions: Loose[]) => ({
  provisioner: "p",
  allowedTopologies: [{ matchLabelExpressions: expressions }],
});

test("a storage class: defaults, faults, update rules, columns", () => {
  const stored = created(storageClass({ provisioner: "example.com/Disk" }));
  assert.equal(stored.reclaimPolicy, "Delete");
  assert.equal(stored.volumeBindingMode, "Immediate");
  const expression = "allowedTopologies[0].matchLabelExpressions";
  assertFaults([
    [stored, []],
    [storageClass(), ["provisioner: Required value"]],
    [
      storageClass({ provisioner: "p", reclaimPolicy: "Recycle" }),
      ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'],
    ],
    [
      storageClass({ provisioner: "p", volumeBindingMode: "Late" }),
      [
        'volumeBindingMode: Unsupported value: "Late": supported values: "Immediate", ' +
          '"WaitForFirstConsumer"',
      ],
    ],
    [
      storageClass({ provisioner: "p", parameters: { "": "v" } }),
      ['parameters: Invalid value: "": field can not be empty.'],
    ],
    [
      storageClass({ provisioner: "p", parameters: { a: "v".repeat(262_144) } }),
      ["parameters: Too long: may not be more than 262144 bytes"],
    ],
    [storageClass(topology()), [`${expression}: Duplicate value: ""`]],
    [
      storageClass({ provisioner: "Bad_Name!" }),
      [
        'provisioner: Invalid value: "bad_name!": name part must consist of alphanumeric ' +
          "characters, '-', '_' or '.', and must start and end with an alphanumeric character " +
          "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is " +
          "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
      ],
    ],
    [storageClass(topology({ key: "a" })), [`${expression}[0].values: Required value`]],
    [
      storageClass(topology({ key: "a", values: ["v", "v"] }, { key: "a", values: ["w"] })),
      [
        `${expression}[0].values[1]: Duplicate value: "v"`,
        `${expression}[1].key: Duplicate value: "a"`,
      ],
    ],
  ]);
  const change = (next: Loose) =>
    Object.assign(next, {
      parameters: { a: "b" },
      provisioner: "q",
      reclaimPolicy: "Retain",
      volumeBindingMode: "WaitForFirstConsumer",
    });
  assert.deepEqual(updateFaults(stored, change), [
    "parameters: Forbidden: updates to parameters are forbidden.",
    "provisioner: Forbidden: updates to provisioner are forbidden.",
    "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.",
    'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable',
  ]);
  const cells = row(stored, 0);
  assert.deepEqual(Object.values(cells).slice(0, 5), [
    ...["x", "example.com/Disk", "Delete", "Immediate", "false"],
  ]);
  stored.metadata.annotations = { "storageclass.kubernetes.io/is-default-class": "true" };
  assert.equal(row(stored, 0)["Name"], "x (default)");
});

const attach = (fields: Loose = {}) =>
  attachment({
    spec: {
      attacher: "d.example.com",
      nodeName: "n",
      source: { persistentVolumeName: "v" },
      ...fields,
    },
  });

test("a volume attachment", () => {
  const either = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
  assertFaults([
    [attach(), []],
    [attach({ source: {} }), [`spec.source: Required value: ${either}`]],
    [
      attach({ source: { persistentVolumeName: "v", inlineVolumeSpec: {} } }),
      [`spec.source: Forbidden: ${either}`],
    ],
    [
      attach({ source: { persistentVolumeName: "" } }),
      [
        "spec.source.persistentVolumeName: Required value: must specify non empty " +
          "persistentVolumeName",
        'spec.source.persistentVolumeName: Invalid value: "": a lowercase RFC 1123 subdomain must ' +
          "consist of lower case alphanumeric characters, '-' or '.', and must start and end with " +
          "an alphanumeric character (e.g. 'example.com', regex used for validation is " +
          "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
      ],
    ],
    [
      { ...attach(), status: { attachError: { errorCode: -1 } } },
      [
        "status.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, " +
          "inclusive",
      ],
    ],
  ]);
  const stored = created(attach());
  assert.deepEqual(stored.status, { attached: false });
  const [fault] = updateFaults(stored, (next) => (next.spec.nodeName = "m"));
  assert.match(fault ?? "", /^spec: Invalid value: \{.*\}: field is immutable$/);
  assert.deepEqual(Object.values(row(stored, 0)).slice(0, 5), [
    ...["x", "d.example.com", "v", "n", "false"],
  ]);
});

test("a CSI driver", () => {
  const stored = created(driver());
  assert.deepEqual(stored.spec, {
    attachRequired: true,
    podInfoOnMount: false,
    storageCapacity: false,
    fsGroupPolicy: "ReadWriteOnceWithFSType",
    volumeLifecycleModes: ["Persistent"],
    requiresRepublish: false,
    seLinuxMount: false,
  });
  const token = (...tokenRequests: Loose[]) => driver({ spec: { tokenRequests } });
  const seconds = "spec.tokenRequests[0].expirationSeconds";
  assertFaults([
    [stored, []],
    [
      driver({ spec: { fsGroupPolicy: "X", volumeLifecycleModes: ["Y"] } }),
      [
        'spec.fsGroupPolicy: Unsupported value: "X": supported values: "File", "None", ' +
          '"ReadWriteOnceWithFSType"',
        'spec.volumeLifecycleModes: Unsupported value: "Y": supported values: "Persistent", ' +
          '"Ephemeral"',
      ],
    ],
    [
      token({ audience: "a" }, { audience: "a" }),
      ['spec.tokenRequests[1].audience: Duplicate value: "a"'],
    ],
    [
      token({ expirationSeconds: 599 }),
      [`${seconds}: Invalid value: 599: may not specify a duration less than 10 minutes`],
    ],
    [
      token({ expirationSeconds: 2 ** 32 + 1 }),
      [
        `${seconds}: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds`,
      ],
    ],
    [
      driver({ spec: { nodeAllocatableUpdatePeriodSeconds: 9 } }),
      [
        "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal " +
          "to 10 seconds",
      ],
    ],
  ]);
  assert.deepEqual(
    updateFaults(stored, (next) => (next.spec.attachRequired = false)),
    ["spec.attachedRequired: Invalid value: false: field is immutable"],
  );
  assert.deepEqual(Object.entries(row(stored, 0)).slice(1, 7), [
    ["AttachRequired", "true"],
    ["PodInfoOnMount", "false"],
    ["StorageCapacity", "false"],
    ["TokenRequests", "<unset>"],
    ["RequiresRepublish", "false"],
    ["Modes", "Persistent"],
  ]);
});

test("a CSI node", () => {
  const drivers = (...list: Loose[]) => node({ spec: { drivers: list } });
  const one = { name: "d.example.com", nodeID: "n", topologyKeys: ["zone"] };
  assertFaults([
    [drivers(one), []],
    [drivers(one, one), ['spec.drivers[1].name: Duplicate value: "d.example.com"']],
    [drivers({ ...one, nodeID: "" }), ["spec.drivers[0].nodeID: Required value"]],
    [
      drivers({ ...one, nodeID: "n".repeat(257) }),
      [
        `spec.drivers[0].nodeID: Invalid value: "${"n".repeat(257)}": must be 256 characters or ` +
          "less",
      ],
    ],
    [
      drivers({ ...one, allocatable: { count: -1 } }),
      ["spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0"],
    ],
    [drivers({ ...one, topologyKeys: ["a", "a"] }), ['spec.drivers[0]: Duplicate value: "a"']],
  ]);
  const stored = drivers(one);
  const [fault] = updateFaults(stored, (next) => (next.spec.drivers[0].nodeID = "m"));
  assert.match(fault ?? "", /^spec\.drivers: Invalid value: .*: field is immutable$/);
  assert.deepEqual(
    updateFaults(stored, (next) => next.spec.drivers.push({ ...one, name: "e" })),
    [],
  );
  assert.equal(row(stored, 0)["Drivers"], "1");
});

test("a CSI storage capacity", () => {
  const stored = created(capacity({ storageClassName: "c", capacity: "1024Mi" }));
  assert.equal(stored.capacity, "1Gi");
  assertFaults([
    [stored, []],
    [
      capacity({ storageClassName: "c", capacity: "-1" }),
      ['capacity: Invalid value: "-1": must be greater than or equal to 0'],
    ],
    [
      capacity({ storageClassName: "c", nodeTopology: { matchExpressions: [{ key: "a" }] } }),
      [
        'nodeTopology.matchExpressions[0].operator: Invalid value: "": not a valid selector ' +
          "operator",
      ],
    ],
  ]);
  assert.deepEqual(
    updateFaults(stored, (next) => (next.storageClassName = "d")),
    ['storageClassName: Invalid value: "d": field is immutable'],
  );
});

test("a class of volume attributes: what it needs, and what stays", () => {
  const attributes = documents(version, "VolumeAttributesClass");
  const stored = attributes({ driverName: "d.example.com", parameters: { iops: "3000" } });
  assertFaults([
    [stored, []],
    [
      attributes(),
      [
        "driverName: Required value",
        "parameters: Required value: must contain at least one key/value pair",
      ],
    ],
  ]);
  const change = (next: Loose) => Object.assign(next, { driverName: "e", parameters: { a: "b" } });
  assert.deepEqual(updateFaults(stored, change), [
    "driverName: Forbidden: updates to driverName are forbidden.",
    "parameters: Forbidden: updates to parameters are forbidden.",
  ]);
  assert.deepEqual(Object.values(row(stored, 0)).slice(0, 2), ["x", "d.example.com"]);
});
