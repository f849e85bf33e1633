import assert from "node:assert/strict";
import { test } from "node:test";
import {
  check,
  created,
  deploymentDocument,
  faults,
  type Loose,
  meta,
  row,
  updateFaults,
} from "./documents.ts";
import { registry } from "./registry.ts";

const statefulSet = () => deploymentDocument("StatefulSet");
const daemonSet = () => deploymentDocument("DaemonSet");
const claim = (name: string): Loose => ({
  metadata: { name },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1024Mi" } } },
});

test("names, categories and subresources", () => {
  const about = (kind: string) => {
    const { shortNames, categories, subresources, nameRule } = registry.required("apps/v1", kind);
    const { status, scale } = subresources;
    return [shortNames.join(), categories.join(), status, scale !== undefined, nameRule];
  };
  assert.deepEqual(about("StatefulSet"), ["sts", "all", true, true, "label"]);
  assert.deepEqual(about("DaemonSet"), ["ds", "all", true, false, "subdomain"]);
  assert.deepEqual(about("ControllerRevision"), ["", "", false, false, "subdomain"]);
  const all = [...registry].filter(({ categories }) => categories.includes("all"));
  for (const plural of ["pods", "services", "deployments", "replicasets", "statefulsets", "jobs"]) {
    assert.ok(
      all.some((each) => each.plural === plural),
      plural,
    );
  }
});

test("defaults of a stateful set", () => {
  const document = statefulSet();
  document.spec.volumeClaimTemplates = [claim("data")];
  const { spec, status } = check(document).document;
  assert.equal(spec.replicas, 1);
  assert.equal(spec.podManagementPolicy, "OrderedReady");
  assert.deepEqual(spec.updateStrategy, { type: "RollingUpdate", rollingUpdate: { partition: 0 } });
  assert.equal(spec.revisionHistoryLimit, 10);
  assert.deepEqual(spec.persistentVolumeClaimRetentionPolicy, {
    whenDeleted: "Retain",
    whenScaled: "Retain",
  });
  assert.deepEqual(spec.volumeClaimTemplates, [
    {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "data" },
      spec: {
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "1Gi" } },
        volumeMode: "Filesystem",
      },
      status: { phase: "Pending" },
    },
  ]);
  assert.deepEqual(status, { replicas: 0, availableReplicas: 0 });
});

test("a rolling update without a partition stays as it was written, but for the partition", () => {
  const document = statefulSet();
  document.spec.updateStrategy = { type: "RollingUpdate" };
  assert.deepEqual(check(document).document.spec.updateStrategy, { type: "RollingUpdate" });
  document.spec.updateStrategy = { rollingUpdate: { maxUnavailable: 2 } };
  assert.deepEqual(check(document).document.spec.updateStrategy, {
    type: "RollingUpdate",
    rollingUpdate: { maxUnavailable: 2, partition: 0 },
  });
});

test("what is wrong with a stateful set, in upstream's words", () => {
  const rows: [string[], (spec: Loose) => void][] = [
    [
      [`spec.podManagementPolicy: Invalid value: "x": must be 'OrderedReady' or 'Parallel'`],
      (spec) => (spec.podManagementPolicy = "x"),
    ],
    [
      [
        `spec.updateStrategy: Invalid value: {"Type":"x","RollingUpdate":null}: must be 'RollingUpdate' or 'OnDelete'`,
      ],
      (spec) => (spec.updateStrategy = { type: "x" }),
    ],
    [
      [
        'spec.updateStrategy.rollingUpdate: Invalid value: {"partition":1}: ' +
          "only allowed for updateStrategy 'RollingUpdate'",
      ],
      (spec) => (spec.updateStrategy = { type: "OnDelete", rollingUpdate: { partition: 1 } }),
    ],
    [
      [
        "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: " +
          "must be greater than or equal to 0",
        "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0",
      ],
      (spec) => (spec.updateStrategy = { rollingUpdate: { partition: -1, maxUnavailable: 0 } }),
    ],
    [
      [
        'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "101%": ' +
          "must not be greater than 100%",
      ],
      (spec) => (spec.updateStrategy = { rollingUpdate: { maxUnavailable: "101%" } }),
    ],
    [
      [
        'spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Keep": ' +
          'supported values: "Retain", "Delete"',
      ],
      (spec) => (spec.persistentVolumeClaimRetentionPolicy = { whenScaled: "Keep" }),
    ],
    [
      [
        "spec.volumeClaimTemplates[0].spec.accessModes: Required value: " +
          "at least 1 access mode is required",
        "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value",
      ],
      (spec) => (spec.volumeClaimTemplates = [{ metadata: { name: "d" }, spec: {} }]),
    ],
    [
      ["spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0"],
      (spec) => (spec.ordinals = { start: -1 }),
    ],
    [
      ["spec.selector: Invalid value: {}: empty selector is invalid for statefulset"],
      (spec) => (spec.selector = {}),
    ],
    [
      [
        "spec.selector: Required value",
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: ' +
          "`selector` does not match template `labels`",
      ],
      (spec) => delete spec.selector,
    ],
    [
      ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
      (spec) => (spec.template.spec.restartPolicy = "Never"),
    ],
    [
      [
        "spec.template.spec.activeDeadlineSeconds: Forbidden: " +
          "activeDeadlineSeconds in StatefulSet is not Supported",
      ],
      (spec) => (spec.template.spec.activeDeadlineSeconds = 9),
    ],
  ];
  for (const [expected, spoil] of rows) {
    const document = statefulSet();
    spoil(document.spec);
    assert.deepEqual(faults(document), expected);
  }
});

test("the service's name is a DNS label", () => {
  const document = statefulSet();
  document.spec.serviceName = "a.b";
  const [fault, ...more] = faults(document);
  assert.match(
    fault ?? "",
    /^spec\.serviceName: Invalid value: "a\.b": a lowercase RFC 1123 label/,
  );
  assert.deepEqual(more, []);
});

test("a claim stands for a volume of its name; hostname and subdomain are the controller's", () => {
  const document = statefulSet();
  const { template } = document.spec;
  template.spec.containers[0].volumeMounts = [{ name: "data", mountPath: "/data" }];
  template.spec.hostname = "Not_a_Host";
  template.spec.subdomain = "Not_a_Domain";
  document.spec.volumeClaimTemplates = [claim("data")];
  assert.deepEqual(faults(document), []);
  document.spec.volumeClaimTemplates = [claim("other")];
  assert.deepEqual(faults(document), [
    'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"',
  ]);
});

test("what of a stateful set may change", () => {
  const allowed: ((spec: Loose) => void)[] = [
    (spec) => (spec.replicas = 7),
    (spec) => (spec.ordinals = { start: 3 }),
    (spec) => (spec.template.spec.containers[0].image = "nginx:2"),
    (spec) => (spec.updateStrategy = { type: "OnDelete" }),
    (spec) => (spec.revisionHistoryLimit = 3),
    (spec) => (spec.persistentVolumeClaimRetentionPolicy.whenDeleted = "Delete"),
    (spec) => (spec.minReadySeconds = 3),
  ];
  for (const change of allowed) {
    assert.deepEqual(
      updateFaults(statefulSet(), (next) => change(next.spec)),
      [],
    );
  }
  const rule =
    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', " +
    "'template', 'updateStrategy', 'revisionHistoryLimit', " +
    "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
  const refused: ((spec: Loose) => void)[] = [
    (spec) => (spec.serviceName = "other"),
    (spec) => (spec.podManagementPolicy = "Parallel"),
    (spec) => (spec.volumeClaimTemplates = [claim("data")]),
    (spec) => (spec.selector.matchExpressions = [{ key: "app", operator: "Exists" }]),
  ];
  for (const change of refused) {
    assert.deepEqual(
      updateFaults(statefulSet(), (next) => change(next.spec)),
      [rule],
    );
  }
});

test("a stateful set's status is coherent, and a write of the spec is not held to it", () => {
  const stored = { ...statefulSet(), status: { replicas: 2, collisionCount: 2 } };
  const status = (value: Loose) => (next: Loose) => {
    next.status = value;
  };
  assert.deepEqual(updateFaults(stored, status({ replicas: 3, collisionCount: 1 })), [
    "status.collisionCount: Invalid value: 1: cannot be decremented",
  ]);
  assert.deepEqual(
    updateFaults(
      stored,
      status({ replicas: 1, readyReplicas: -1, availableReplicas: 2, collisionCount: 2 }),
    ),
    [
      "status.readyReplicas: Invalid value: -1: must be greater than or equal to 0",
      "status.availableReplicas: Invalid value: 2: cannot be greater than status.replicas",
      "status.availableReplicas: Invalid value: 2: cannot be greater than status.readyReplicas",
    ],
  );
  const incoherent = { ...statefulSet(), status: { replicas: 1, readyReplicas: 2 } };
  assert.deepEqual(
    updateFaults(incoherent, (next) => (next.spec.replicas = 2)),
    [],
  );
});

test("columns and scale of a stateful set", () => {
  const { document } = check(statefulSet());
  const { scale } = registry.required("apps/v1", "StatefulSet").subresources;
  scale?.setReplicas(document, 3);
  document.status = { replicas: 2, readyReplicas: 1 };
  assert.equal(scale?.replicas(document), 3);
  assert.equal(scale?.currentReplicas(document), 2);
  assert.equal(scale?.selector(document), "app=web");
  const { columns } = registry.required("apps/v1", "StatefulSet");
  assert.deepEqual(
    columns.map(({ name, wide }) => `${name}${wide ? "+" : ""}`),
    ["Name", "Ready", "Age", "Containers+", "Images+"],
  );
  assert.equal(row(document, 0)["Ready"], "1/3");
});

test("defaults of a daemon set", () => {
  const { spec, status, metadata } = created(daemonSet());
  assert.deepEqual(spec.updateStrategy, {
    type: "RollingUpdate",
    rollingUpdate: { maxUnavailable: 1, maxSurge: 0 },
  });
  assert.equal(spec.revisionHistoryLimit, 10);
  assert.equal(spec.template.spec.restartPolicy, "Always");
  assert.deepEqual(status, {
    currentNumberScheduled: 0,
    numberMisscheduled: 0,
    desiredNumberScheduled: 0,
    numberReady: 0,
  });
  assert.deepEqual(metadata.annotations, { "deprecated.daemonset.template.generation": "1" });
});

test("the generation of a daemon set's template counts its changes, whatever a client says", () => {
  const kind = registry.required("apps/v1", "DaemonSet");
  const stored = created(daemonSet());
  const next = structuredClone(stored);
  next.metadata.annotations = { mine: "1", "deprecated.daemonset.template.generation": "9" };
  kind.prepareForUpdate(next, stored, 0);
  assert.equal(next.metadata.annotations["deprecated.daemonset.template.generation"], "1");
  next.spec.template.spec.containers[0].image = "nginx:2";
  kind.prepareForUpdate(next, stored, 0);
  assert.equal(next.metadata.annotations["deprecated.daemonset.template.generation"], "2");
  assert.equal(next.metadata.annotations.mine, "1");
});

test("what is wrong with a daemon set, in upstream's words", () => {
  const rolling = (maxUnavailable: Loose, maxSurge: Loose) => (spec: Loose) => {
    spec.updateStrategy = { rollingUpdate: { maxUnavailable, maxSurge } };
  };
  const at = "spec.updateStrategy.rollingUpdate";
  const rows: [string[], (spec: Loose) => void][] = [
    [[`${at}.maxUnavailable: Required value: cannot be 0 when maxSurge is 0`], rolling("0%", 0)],
    [
      [`${at}.maxSurge: Invalid value: "10%": may not be set when maxUnavailable is non-zero`],
      rolling(1, "10%"),
    ],
    [[`${at}.maxSurge: Invalid value: "200%": must not be greater than 100%`], rolling(0, "200%")],
    [
      [
        'spec.updateStrategy: Unsupported value: {"Type":"x","RollingUpdate":null}: supported values: ' +
          '"RollingUpdate", "OnDelete"',
      ],
      (spec) => (spec.updateStrategy = { type: "x" }),
    ],
    [
      ["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
      (spec) => (spec.selector = {}),
    ],
    [
      ["spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"],
      (spec) => (spec.minReadySeconds = -1),
    ],
    [
      ["spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0"],
      (spec) => (spec.revisionHistoryLimit = -1),
    ],
    [
      [
        "spec.template.spec.activeDeadlineSeconds: Forbidden: " +
          "activeDeadlineSeconds in DaemonSet is not Supported",
      ],
      (spec) => (spec.template.spec.activeDeadlineSeconds = 9),
    ],
    [
      [
        "spec.template.spec.ephemeralContainers: Forbidden: " +
          "ephemeral containers not allowed in pod template",
      ],
      (spec) => (spec.template.spec.ephemeralContainers = [{ name: "e", image: "i" }]),
    ],
  ];
  for (const [expected, spoil] of rows) {
    const document = daemonSet();
    spoil(document.spec);
    assert.deepEqual(faults(document), expected);
  }
});

test("a daemon set's selector stays, and its counters count", () => {
  assert.deepEqual(
    updateFaults(daemonSet(), (next) => {
      next.spec.selector.matchLabels = { app: "web", tier: "x" };
      next.spec.template.metadata.labels = { app: "web", tier: "x" };
    }),
    ['spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"x"}}: field is immutable'],
  );
  assert.deepEqual(
    updateFaults(daemonSet(), (next) => (next.status.numberReady = -1)),
    ["status.numberReady: Invalid value: -1: must be greater than or equal to 0"],
  );
});

test("columns of a daemon set", () => {
  const document = daemonSet();
  document.spec.template.spec.nodeSelector = { b: "2", a: "1" };
  document.status = {
    desiredNumberScheduled: 5,
    currentNumberScheduled: 4,
    numberReady: 3,
    updatedNumberScheduled: 2,
    numberAvailable: 1,
  };
  const { columns } = registry.required("apps/v1", "DaemonSet");
  assert.deepEqual(
    columns.map(({ value }) => value(document, 0)),
    ["d", 5, 4, 3, 2, 1, "a=1,b=2", "<unknown>", "web", "nginx:1.27", "app=web"],
  );
});

test("a controller revision holds an object that never changes", () => {
  const document: Loose = {
    apiVersion: "apps/v1",
    kind: "ControllerRevision",
    metadata: {
      ...meta("r"),
      ownerReferences: [
        { apiVersion: "apps/v1", kind: "StatefulSet", name: "web", uid: "u", controller: true },
      ],
    },
    data: { spec: { template: {} } },
    revision: 3,
  };
  assert.deepEqual(faults(document), []);
  assert.deepEqual(
    [row(document, 0)["Controller"], row(document, 0)["Revision"]],
    ["statefulset.apps/web", "3"],
  );
  assert.deepEqual(faults({ ...document, data: undefined, revision: -1 } as Loose), [
    "revision: Invalid value: -1: must be greater than or equal to 0",
    "data: Required value: data is mandatory",
  ]);
  assert.deepEqual(
    updateFaults(document, (next) => (next.revision = 4)),
    [],
  );
  assert.deepEqual(
    updateFaults(document, (next) => (next.data = { other: 1 })),
    ['data: Invalid value: {"other":1}: field is immutable'],
  );
});
