/** Persistent volumes and claims. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { check, created, faults, type Loose, meta, row, updateFaults } from "./documents.ts";
import { registry } from "./registry.ts";

const claim = (change: (spec: Loose) => void = () => {}): Loose => {
  const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
  change(spec);
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: "c", namespace: "default" },
    spec,
  };
};
const volume = (change: (spec: Loose) => void = () => {}): Loose => {
  const spec = {
    accessModes: ["ReadWriteOnce"],
    capacity: { storage: "1024Mi" },
    hostPath: { path: "/data" },
  };
  change(spec);
  return { apiVersion: "v1", kind: "PersistentVolume", metadata: { name: "v" }, spec };
};

test("defaults of a claim and of a volume", () => {
  assert.deepEqual(check(claim()).document.spec.volumeMode, "Filesystem");
  assert.deepEqual(check(claim()).document.status, { phase: "Pending" });
  const { spec, status } = check(volume()).document;
  assert.deepEqual(spec, {
    accessModes: ["ReadWriteOnce"],
    capacity: { storage: "1Gi" },
    hostPath: { path: "/data", type: "" },
    persistentVolumeReclaimPolicy: "Retain",
    volumeMode: "Filesystem",
  });
  assert.deepEqual(status, { phase: "Pending" });
  assert.deepEqual(faults(volume()), []);
  assert.deepEqual(faults(claim()), []);
});

test("what is wrong with a claim, in upstream's words", () => {
  const rows: [string[], (spec: Loose) => void][] = [
    [
      [
        "spec.accessModes: Required value: at least 1 access mode is required",
        "spec.resources[storage]: Required value",
      ],
      (spec) => Object.assign(spec, { accessModes: [], resources: {} }),
    ],
    [
      [
        'spec.accessModes: Unsupported value: "RWO": supported values: "ReadOnlyMany", ' +
          '"ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
      ],
      (spec) => (spec.accessModes = ["RWO"]),
    ],
    [
      ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
      (spec) => (spec.accessModes = ["ReadWriteOncePod", "ReadWriteOnce"]),
    ],
    [
      ['spec.resources[storage]: Invalid value: "0": must be greater than zero'],
      (spec) => (spec.resources.requests.storage = "0"),
    ],
    [
      ['spec.volumeMode: Unsupported value: "x": supported values: "Block", "Filesystem"'],
      (spec) => (spec.volumeMode = "x"),
    ],
    [
      ["dataSource", "dataSourceRef"].flatMap((name) => [
        `spec.${name}.name: Required value`,
        `spec.${name}: Invalid value: "Secret": must be 'PersistentVolumeClaim' when ` +
          "referencing the default apiGroup",
      ]),
      (spec) => (spec.dataSourceRef = { kind: "Secret" }),
    ],
    // A feature of upstream that is off: such a source is dropped.
    [[], (spec) => (spec.dataSourceRef = { kind: "Secret", namespace: "other" })],
    [
      ["spec: Invalid value: {}: must match dataSourceRef"],
      (spec) =>
        Object.assign(spec, {
          dataSource: { kind: "PersistentVolumeClaim", name: "a" },
          dataSourceRef: { kind: "PersistentVolumeClaim", name: "b" },
        }),
    ],
  ];
  for (const [expected, spoil] of rows) assert.deepEqual(faults(claim(spoil)), expected);
});

test("the two forms of a claim's source are kept alike, a foreign one in the older is dropped", () => {
  const source = { kind: "PersistentVolumeClaim", name: "a" };
  for (const field of ["dataSource", "dataSourceRef"]) {
    const { spec } = created(claim((given) => (given[field] = source)));
    assert.deepEqual([spec.dataSource, spec.dataSourceRef], [source, source]);
  }
  const other = { apiGroup: "example.com", kind: "Backup", name: "a" };
  const { spec } = created(claim((given) => (given.dataSource = other)));
  assert.deepEqual([spec.dataSource, spec.dataSourceRef], [undefined, undefined]);
  const referred = created(claim((given) => (given.dataSourceRef = other))).spec;
  assert.deepEqual([referred.dataSource, referred.dataSourceRef], [other, other]);
});

const bound = (): Loose => ({
  ...claim((spec) => Object.assign(spec, { volumeName: "v", storageClassName: "fast" })),
  status: { phase: "Bound", capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"] },
});
const immutable =
  "spec: Forbidden: spec is immutable after creation except resources.requests and " +
  "volumeAttributesClassName for bound claims\n";

test("what of a claim may change", () => {
  assert.deepEqual(
    updateFaults(bound(), (next) => (next.spec.resources.requests.storage = "2Gi")),
    [],
  );
  assert.deepEqual(
    updateFaults(claim(), (next) => (next.spec.volumeName = "v")),
    [],
  );
  assert.deepEqual(
    updateFaults(claim(), (next) => (next.spec.storageClassName = "default")),
    [],
  );
  assert.deepEqual(
    updateFaults(bound(), (next) => (next.spec.volumeName = "w")),
    [`${immutable}- volumeName: "v"\n+ volumeName: "w"`],
  );
  assert.deepEqual(
    updateFaults(claim(), (next) => (next.spec.resources.requests.storage = "2Gi")),
    [
      `${immutable}- resources: {"requests":{"storage":"1Gi"}}\n` +
        '+ resources: {"requests":{"storage":"2Gi"}}',
    ],
  );
  assert.deepEqual(
    updateFaults(bound(), (next) => (next.spec.resources.requests.storage = "512Mi")),
    ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
  );
  const attributed = bound();
  attributed.spec.volumeAttributesClassName = "gold";
  attributed.status.currentVolumeAttributesClassName = "gold";
  assert.deepEqual(
    updateFaults(attributed, (next) => delete next.spec.volumeAttributesClassName),
    [
      "spec.volumeAttributesClassName: Forbidden: update to nil is forbidden when " +
        "status.currentVolumeAttributesClassName is not nil",
    ],
  );
});

test("the status of a claim speaks of storage", () => {
  const write = (status: Loose) =>
    updateFaults(bound(), (next) => Object.assign(next.status, status));
  assert.deepEqual(write({ capacity: { storage: "-1" } }), [
    'status.capacity[storage]: Invalid value: "-1": must be a valid resource quantity',
  ]);
  assert.deepEqual(write({ allocatedResourceStatuses: { storage: "Growing" } }), [
    'status.allocatedResourceStatuses: Unsupported value: "storage": supported values: ' +
      '"ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", ' +
      '"NodeResizeInfeasible", "NodeResizePending"',
  ]);
  assert.deepEqual(write({ allocatedResources: { cpu: "1" } }), [
    'status.allocatedResources: Unsupported value: "cpu": supported values: "storage"',
  ]);
});

test("columns of claims and volumes", () => {
  const cells = (document: Loose, ...names: string[]) => {
    const shown = row(document, 0);
    return names.map((name) => shown[name]);
  };
  const of = ["Status", "Volume", "Capacity", "Access Modes", "StorageClass"];
  assert.deepEqual(cells(check(claim()).document, ...of), ["Pending", "", "", "", ""]);
  assert.deepEqual(cells(bound(), ...of), ["Bound", "v", "1Gi", "RWO", "fast"]);
  assert.deepEqual(cells(bound(), "VolumeAttributesClass", "VolumeMode"), ["<unset>", "<unset>"]);
  const document = check(
    volume((spec) => (spec.claimRef = { namespace: "default", name: "c" })),
  ).document;
  document.status = { phase: "Released", reason: "Why" };
  assert.deepEqual(
    cells(document, "Capacity", "Access Modes", "Reclaim Policy", "Status", "Claim", "Reason"),
    ["1Gi", "RWO", "Retain", "Released", "default/c", "Why"],
  );
  document.metadata.deletionTimestamp = "2026-01-01T00:00:00Z";
  assert.equal(cells(document, "Status")[0], "Terminating");
});

test("what is wrong with a volume, in upstream's words", () => {
  const rows: [string[], (spec: Loose) => void][] = [
    [["spec: Required value: must specify a volume type"], (spec) => delete spec.hostPath],
    [
      ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
      (spec) => (spec.nfs = { server: "s", path: "/" }),
    ],
    [
      ["spec.accessModes: Required value", "spec.capacity: Required value"].concat(
        'spec.capacity: Unsupported value: {}: supported values: "storage"',
      ),
      (spec) => Object.assign(spec, { accessModes: [], capacity: {} }),
    ],
    [
      ['spec.capacity[storage]: Invalid value: "0": must be greater than zero'],
      (spec) => (spec.capacity.storage = "0"),
    ],
    [
      [
        'spec.persistentVolumeReclaimPolicy: Unsupported value: "x": supported values: "Delete", ' +
          '"Recycle", "Retain"',
      ],
      (spec) => (spec.persistentVolumeReclaimPolicy = "x"),
    ],
    [
      [
        "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath " +
          "mount of '/'",
      ],
      (spec) =>
        Object.assign(spec, {
          persistentVolumeReclaimPolicy: "Recycle",
          hostPath: { path: "/./" },
        }),
    ],
    [
      [`spec.hostPath.path: Invalid value: "/a/../b": must not contain '..'`],
      (spec) => (spec.hostPath.path = "/a/../b"),
    ],
    [
      ["spec.nodeAffinity: Required value: Local volume requires node affinity"],
      (spec) => Object.assign(spec, { hostPath: undefined, local: { path: "/disk" } }),
    ],
    [
      ["spec.nodeAffinity.required: Required value: must specify required node constraints"],
      (spec) => (spec.nodeAffinity = {}),
    ],
    [
      [
        "spec.nodeAffinity.required.nodeSelectorTerms: Required value: " +
          "must have at least one node selector term",
      ],
      (spec) => (spec.nodeAffinity = { required: {} }),
    ],
    [
      [
        "spec.csi.volumeHandle: Required value",
        "spec.csi.controllerPublishSecretRef.namespace: Required value",
      ],
      (spec) =>
        Object.assign(spec, {
          hostPath: undefined,
          csi: { driver: "a.io", controllerPublishSecretRef: { name: "s" } },
        }),
    ],
    [
      [
        'spec.iscsi.iqn: Invalid value: "x": must be valid format',
        "spec.iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
      ],
      (spec) =>
        Object.assign(spec, {
          hostPath: undefined,
          iscsi: { targetPortal: "10.0.0.1:3260", iqn: "x", lun: 256 },
        }),
    ],
    [
      ["spec.fc.lun: Required value: lun is required if targetWWNs is specified"],
      (spec) => Object.assign(spec, { hostPath: undefined, fc: { targetWWNs: ["5005"] } }),
    ],
    [
      ["spec.csi: Required value: has to be specified when using volumeAttributesClassName"],
      (spec) => (spec.volumeAttributesClassName = "gold"),
    ],
  ];
  for (const [expected, spoil] of rows) assert.deepEqual(faults(volume(spoil)), expected);
});

test("a volume stays where it is; its claim and policy may change", () => {
  assert.deepEqual(
    updateFaults(volume(), (next) =>
      Object.assign(next.spec, {
        claimRef: { namespace: "default", name: "c" },
        persistentVolumeReclaimPolicy: "Delete",
        capacity: { storage: "2Gi" },
      }),
    ),
    [],
  );
  assert.deepEqual(
    updateFaults(volume(), (next) => (next.spec.hostPath.path = "/other")),
    [
      "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after " +
        'creation\n- hostPath: {"path":"/data","type":""}\n+ hostPath: {"path":"/other","type":""}',
    ],
  );
  assert.deepEqual(
    updateFaults(volume(), (next) => (next.spec.volumeMode = "Block")),
    ['volumeMode: Invalid value: "Block": field is immutable'],
  );
  const driven = volume((spec) =>
    Object.assign(spec, { hostPath: undefined, csi: { driver: "a.io", volumeHandle: "h" } }),
  );
  assert.deepEqual(
    updateFaults(driven, (next) => {
      next.spec.csi.controllerExpandSecretRef = { name: "s", namespace: "default" };
    }),
    [],
  );
});

test("a volume tells when its phase last changed", () => {
  const stored = { ...volume(), status: { phase: "Available" } };
  let seen: Loose;
  updateFaults(stored, (next) => {
    next.status = { phase: "Bound" };
    seen = next;
  });
  assert.deepEqual(seen.status, {
    phase: "Bound",
    lastPhaseTransitionTime: "2026-01-02T00:00:00Z",
  });
  const document = volume();
  document.metadata.creationTimestamp = "2026-01-01T00:00:00Z";
  assert.deepEqual(created(document).status, {
    phase: "Pending",
    lastPhaseTransitionTime: "2026-01-01T00:00:00Z",
  });
});

test("claims, volumes and slices: what their authors are told", () => {
  const told = (apiVersion: string, kind: string, fields: Loose) => {
    const of = registry.byKind(apiVersion, kind);
    return of?.warnings?.({ apiVersion, kind, metadata: meta("x"), ...fields });
  };
  const older = { "volume.beta.kubernetes.io/storage-class": "a" };
  const annotated = { metadata: { ...meta("x"), annotations: older } };
  const deprecated =
    "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use " +
    '"storageClassName" attribute instead';
  const resources = { requests: { storage: "500m" } };
  assert.deepEqual(told("v1", "PersistentVolumeClaim", { ...annotated, spec: { resources } }), [
    deprecated,
    'spec.resources.requests[storage]: fractional byte value "500m" is invalid, must be an integer',
  ]);
  const spec = { persistentVolumeReclaimPolicy: "Recycle", storageos: {} };
  assert.deepEqual(told("v1", "PersistentVolume", { ...annotated, spec }), [
    deprecated,
    "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the " +
      "recommended approach is to use dynamic provisioning.",
    "spec.storageOS: deprecated in v1.22, non-functional in v1.25+",
  ]);
  assert.deepEqual(told("discovery.k8s.io/v1", "EndpointSlice", { addressType: "FQDN" }), [
    "spec.addressType: FQDN endpoints are deprecated",
  ]);
});
