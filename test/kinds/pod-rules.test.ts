/** Pods as upstream completes and refuses them, in its words and at its paths. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Loose, podDocument } from "./documents.ts";
import { created, faults } from "./tables.ts";

const first = "spec.containers[0]";
const subdomain =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or " +
  "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for " +
  "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const namePart =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end " +
  "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for " +
  "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const mode = "must be a number between 0 and 0777 (octal), both inclusive";
const portName = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";

type Row = readonly [expected: readonly string[], spoil: (spec: Loose, c: Loose) => void];

function check(rows: readonly Row[]): void {
  for (const [expected, spoil] of rows) {
    const pod = podDocument();
    pod.spec.serviceAccountName = "default";
    spoil(pod.spec, pod.spec.containers[0]);
    assert.deepEqual(faults(pod), expected, JSON.stringify(pod.spec));
  }
}

const source = (fields: Loose) => (spec: Loose) => (spec.volumes = [{ name: "v", ...fields }]);
const projected = (...sources: Loose[]) => source({ projected: { sources } });
const volume = "spec.volumes[0]";

test("volumes", () => {
  check([
    [
      [
        `${volume}.emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity`,
      ],
      source({ emptyDir: { sizeLimit: "-1" } }),
    ],
    [
      [`${volume}.configMap.items[0].path: Invalid value: "..x": must not start with '..'`],
      source({ configMap: { name: "c", items: [{ key: "k", path: "..x" }] } }),
    ],
    [
      [`${volume}.secret.items[0].key: Required value`],
      source({ secret: { secretName: "s", items: [{ path: "p" }] } }),
    ],
    [
      [
        `${volume}.downwardAPI.path: Required value`,
        `${volume}.downwardAPI: Required value: one of fieldRef and resourceFieldRef is required`,
        `${volume}.downwardAPI.mode: Invalid value: -1: ${mode}`,
      ],
      source({ downwardAPI: { items: [{ mode: -1 }] } }),
    ],
    [
      [`${volume}.projected.sources[0].configMap.name: Required value`],
      projected({ configMap: {} }),
    ],
    [[`${volume}.projected.path: Required value`], projected({ serviceAccountToken: {} })],
    [
      [
        `${volume}.projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: ` +
          "99999999999: may not specify a duration larger than 2^32 seconds",
      ],
      projected({ serviceAccountToken: { path: "t", expirationSeconds: 99999999999 } }),
    ],
    [
      [`${volume}.projected: Invalid value: "c": conflicting duplicate paths`],
      projected(
        { secret: { name: "s", items: [{ key: "a", path: "p" }] } },
        { configMap: { name: "c", items: [{ key: "b", path: "p" }] } },
      ),
    ],
    [
      [
        `${volume}.projected.sources[0]: Forbidden: may not specify more than 1 volume type per ` +
          "source",
      ],
      projected({ secret: { name: "s" }, configMap: { name: "c" } }),
    ],
    [
      [
        `${volume}.csi.driver: Required value`,
        `${volume}.csi.driver: Invalid value: "": ${subdomain}`,
        `${volume}.csi.nodePublishSecretRef.name: Required value`,
      ],
      source({ csi: { nodePublishSecretRef: {} } }),
    ],
    [
      [`${volume}.csi.name: Invalid value: "X": ${subdomain}`],
      source({ csi: { driver: "d.example.com", nodePublishSecretRef: { name: "X" } } }),
    ],
    [
      [
        `${volume}.nfs.path: Required value`,
        `${volume}.nfs.path: Invalid value: "": must be an absolute path`,
      ],
      source({ nfs: { server: "s" } }),
    ],
    [
      [
        `${volume}.projected.sources[0].serviceAccountToken: Forbidden: must not be specified when ` +
          "serviceAccountName is not set",
      ],
      (spec) => {
        delete spec.serviceAccountName;
        projected({ serviceAccountToken: { path: "t" } })(spec);
      },
    ],
  ]);
});

test("a container can use those volumes only that are in order", () => {
  const mount = { name: "v", mountPath: "/v" };
  check([
    [
      [`${volume}.nfs.server: Required value`, `${first}.volumeMounts[0].name: Not found: "v"`],
      (spec, c) => {
        source({ nfs: { path: "/" } })(spec);
        c.volumeMounts = [mount];
      },
    ],
    [
      [
        `${first}.volumeMounts[0].name: Required value`,
        `${first}.volumeMounts[0].name: Not found: ""`,
        `${first}.volumeMounts[0].mountPath: Required value`,
      ],
      (_, c) => (c.volumeMounts = [{}]),
    ],
    [
      [`${first}.volumeMounts.subPath: Invalid value: "../x": must not contain '..'`],
      (spec, c) => {
        source({})(spec);
        c.volumeMounts = [{ ...mount, subPath: "../x" }];
      },
    ],
    [
      [
        `${first}.volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is ` +
          "available only to privileged containers",
        `${first}.volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly ` +
          "is true",
        `${first}.volumeMounts.recursiveReadOnly: Forbidden: may only be specified when ` +
          "mountPropagation is None or not specified",
      ],
      (spec, c) => {
        source({})(spec);
        const options = { mountPropagation: "Bidirectional", recursiveReadOnly: "Enabled" };
        c.volumeMounts = [{ ...mount, ...options }];
      },
    ],
    [
      [
        `${first}.volumeMounts.mountPropagation: Unsupported value: "Up": supported values: ` +
          '"Bidirectional", "HostToContainer", "None"',
        `${first}.volumeMounts.recursiveReadOnly: Unsupported value: "": supported values: ` +
          '"Disabled", "Enabled", "IfPossible"',
      ],
      (spec, c) => {
        source({})(spec);
        c.volumeMounts = [{ ...mount, mountPropagation: "Up", recursiveReadOnly: "" }];
      },
    ],
    [
      [
        `${first}.volumeDevices[0].name: Required value`,
        `${first}.volumeDevices[0].name: Not found: ""`,
        `${first}.volumeDevices[0].devicePath: Required value`,
      ],
      (_, c) => (c.volumeDevices = [{}]),
    ],
    [
      [
        `${first}.volumeDevices[0].name: Invalid value: "v": can only use volume source type of ` +
          "PersistentVolumeClaim or Ephemeral for block mode",
        `${first}.volumeDevices[0].devicePath: Invalid value: "/../x": can not contain backsteps ` +
          "('..')",
      ],
      (spec, c) => {
        source({ emptyDir: {} })(spec);
        c.volumeDevices = [{ name: "v", devicePath: "/../x" }];
      },
    ],
    [
      [
        `${first}.volumeMounts[0].name: Invalid value: "v": must not already exist in volumeDevices`,
        `${first}.volumeDevices[0].name: Invalid value: "v": must not already exist in volumeMounts`,
        `${first}.volumeDevices: Forbidden: when \`hostUsers\` is false`,
      ],
      (spec, c) => {
        source({ persistentVolumeClaim: { claimName: "c" } })(spec);
        spec.hostUsers = false;
        c.volumeMounts = [mount];
        c.volumeDevices = [{ name: "v", devicePath: "/dev/x" }];
      },
    ],
  ]);
});

test("containers", () => {
  check([
    [[], (_, c) => (c.ports = [{ containerPort: 80, protocol: "", hostIP: "any" }])],
    [[], (_, c) => Object.assign(c, { imagePullPolicy: "", terminationMessagePolicy: "" })],
    [
      [`${first}.ports[0].name: Invalid value: "a_": ${portName}`],
      (_, c) => (c.ports = [{ name: "a_", containerPort: 80 }]),
    ],
    [
      [
        `${first}.envFrom: Invalid value: "": must specify one of: \`configMapRef\` or \`secretRef\``,
      ],
      (_, c) => (c.envFrom = [{}]),
    ],
    [
      [`${first}.envFrom[0].configMapRef.name: Invalid value: "X": ${subdomain}`],
      (_, c) => (c.envFrom = [{ configMapRef: { name: "X" } }]),
    ],
    [
      [
        `${first}.env[0].valueFrom.secretKeyRef.name: Invalid value: "": ${subdomain}`,
        `${first}.env[0].valueFrom.secretKeyRef.key: Invalid value: "..k": must not start with '..'`,
      ],
      (_, c) => (c.env = [{ name: "A", valueFrom: { secretKeyRef: { key: "..k" } } }]),
    ],
    [
      [
        `${first}.livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive`,
      ],
      (_, c) => (c.livenessProbe = { httpGet: {} }),
    ],
    [
      [
        `${first}.livenessProbe.httpGet.httpHeaders: Invalid value: "": a valid HTTP header must ` +
          "consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for " +
          "validation is '[-A-Za-z0-9]+')",
      ],
      (_, c) => (c.livenessProbe = { httpGet: { port: 1, httpHeaders: [{}] } }),
    ],
    [
      [
        `${first}.lifecycle.preStop.sleep: Invalid value: 3: must be non-negative and less than terminationGracePeriodSeconds (1)`,
      ],
      (spec, c) => {
        spec.terminationGracePeriodSeconds = -5;
        c.lifecycle = { preStop: { sleep: { seconds: 3 } } };
      },
    ],
    [
      [
        `spec.overhead[x]: Invalid value: "x": must be a standard resource type or ` +
          "fully qualified",
        `spec.overhead[x]: Invalid value: "x": must be a standard resource for ` + "containers",
      ],
      (spec) => (spec.overhead = { x: "1" }),
    ],
    [
      [
        `${first}.terminationMessagePolicy: Unsupported value: "X": supported values: "File", ` +
          '"FallbackToLogsOnError"',
      ],
      (_, c) => (c.terminationMessagePolicy = "X"),
    ],
    [
      [
        "spec.initContainers[0].startupProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
      ],
      (spec) => (spec.initContainers = [{ name: "i", image: "i", startupProbe: {} }]),
    ],
  ]);
});

test("where a pod runs and what it is called", () => {
  const affinity = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution";
  const node = (term: Loose) => (spec: Loose) =>
    (spec.affinity = {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] },
      },
    });
  const field = `${affinity}.nodeSelectorTerms[0].matchFields[0]`;
  const pod = "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]";
  check([
    [[], (spec) => Object.assign(spec, { schedulerName: "Any Name", restartPolicy: "" })],
    [
      [
        `${field}.values: Required value: must be only one value when \`operator\` is 'In' or ` +
          "'NotIn' for node field selector",
      ],
      node({ matchFields: [{ key: "metadata.name", operator: "In" }] }),
    ],
    [
      [`${field}.values[0]: Invalid value: "X": ${subdomain}`],
      node({ matchFields: [{ key: "metadata.name", operator: "In", values: ["X"] }] }),
    ],
    [
      [
        `${affinity}.nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: "-": a valid ` +
          "label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and " +
          "must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or " +
          "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
      ],
      node({ matchExpressions: [{ key: "k", operator: "In", values: ["-"] }] }),
    ],
    [
      [
        `${pod}.topologyKey: Required value: can not be empty`,
        `${pod}.topologyKey: Invalid value: "": name part must be non-empty`,
        `${pod}.topologyKey: Invalid value: "": ${namePart}`,
      ],
      (spec) =>
        (spec.affinity = {
          podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{}] },
        }),
    ],
    [
      [
        'spec.schedulingGates[0]: Invalid value: "": name part must be non-empty',
        `spec.schedulingGates[0]: Invalid value: "": ${namePart}`,
      ],
      (spec) => (spec.schedulingGates = [{}]),
    ],
    [
      [
        'spec.hostAliases[0].ip: Invalid value: "": must be a valid IP address, (e.g. 10.9.8.7 or ' +
          "2001:db8::ffff)",
        `spec.hostAliases[0].hostnames[0]: Invalid value: "": ${subdomain}`,
      ],
      (spec) => (spec.hostAliases = [{ hostnames: [""] }]),
    ],
    [
      ['spec.os: Unsupported value: "x": supported values: "linux", "windows"'],
      (spec) => (spec.os = { name: "x" }),
    ],
    [
      [
        'spec.tolerations[0].effect: Unsupported value: "X": supported values: "NoSchedule", ' +
          '"PreferNoSchedule", "NoExecute"',
      ],
      (spec) => (spec.tolerations = [{ key: "a", effect: "X" }]),
    ],
    [
      [
        'spec.dnsPolicy: Unsupported value: "X": supported values: "ClusterFirstWithHostNet", ' +
          '"ClusterFirst", "Default", "None"',
      ],
      (spec) => (spec.dnsPolicy = "X"),
    ],
  ]);
});

test("what is empty is completed as what is absent", () => {
  const pod = podDocument();
  Object.assign(pod.spec, { restartPolicy: "", dnsPolicy: "", schedulerName: "" });
  const [container] = pod.spec.containers;
  Object.assign(container, { imagePullPolicy: "", terminationMessagePath: "" });
  container.livenessProbe = { httpGet: { port: 1, scheme: "" } };
  pod.spec.topologySpreadConstraints = [
    { maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule" },
  ];
  const items = [{ path: "a", resourceFieldRef: { containerName: "web", resource: "limits.cpu" } }];
  pod.spec.volumes = [{ name: "v", downwardAPI: { items } }];
  const { spec } = created(pod);
  assert.equal(spec.restartPolicy, "Always");
  assert.equal(spec.dnsPolicy, "ClusterFirst");
  assert.equal(spec.schedulerName, "default-scheduler");
  assert.equal(spec.containers[0].imagePullPolicy, "IfNotPresent");
  assert.equal(spec.containers[0].terminationMessagePath, "/dev/termination-log");
  assert.equal(spec.containers[0].livenessProbe.httpGet.scheme, "HTTP");
  assert.equal(spec.topologySpreadConstraints[0].nodeTaintsPolicy, undefined);
  assert.equal(spec.volumes[0].downwardAPI.items[0].resourceFieldRef.divisor, "0");
});
