import assert from "node:assert/strict";
import { test } from "node:test";

import { check, type Loose, podDocument } from "./documents.ts";
import { registry } from "./registry.ts";

const pods = registry.required("v1", "Pod");

/** What is wrong with a pod, as kubectl prints it. */
function problems(spoil: (spec: Loose, container: Loose) => void): string[] {
  const pod = podDocument();
  spoil(pod.spec, pod.spec.containers[0]);
  return pods.validate(check(pod).document).map(({ field, message }) => `${field}: ${message}`);
}

const podContext = (context: Loose) => (spec: Loose) => {
  spec.securityContext = context;
};
const ofContainer = (context: Loose) => (_: Loose, container: Loose) => {
  container.securityContext = context;
};

test("valid security settings", () => {
  const rows: ((spec: Loose, container: Loose) => void)[] = [
    podContext({
      runAsUser: 0,
      runAsGroup: 2_147_483_647,
      runAsNonRoot: false,
      supplementalGroups: [1, 2],
      supplementalGroupsPolicy: "Strict",
      fsGroup: 5,
      fsGroupChangePolicy: "OnRootMismatch",
      sysctls: [{ name: "net.ipv4.ip_local_port_range", value: "1 2" }, { name: "kernel/sem" }],
      seccompProfile: { type: "Localhost", localhostProfile: "a/b.json" },
      appArmorProfile: { type: "RuntimeDefault" },
      seLinuxOptions: { level: "s0" },
      seLinuxChangePolicy: "Recursive",
    }),
    ofContainer({
      privileged: true,
      allowPrivilegeEscalation: true,
      capabilities: { add: ["NET_ADMIN"], drop: ["ALL"] },
      procMount: "Default",
      readOnlyRootFilesystem: true,
      appArmorProfile: { type: "Localhost", localhostProfile: "p" },
    }),
    (spec, container) => {
      spec.hostUsers = false;
      container.securityContext = { procMount: "Unmasked" };
    },
  ];
  for (const spoil of rows) assert.deepEqual(problems(spoil), []);
});

const range = "must be between 0 and 2147483647, inclusive";
const inPod = "spec.securityContext";
const inContainer = "spec.containers[0].securityContext";
const regex = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

const podRows: [string, Loose][] = [
  [`runAsUser: Invalid value: -1: ${range}`, { runAsUser: -1 }],
  [`runAsGroup: Invalid value: 2147483648: ${range}`, { runAsGroup: 2 ** 31 }],
  [`fsGroup: Invalid value: -5: ${range}`, { fsGroup: -5 }],
  [`supplementalGroups[1]: Invalid value: -2: ${range}`, { supplementalGroups: [1, -2] }],
  [
    'supplementalGroupsPolicy: Unsupported value: "X": supported values: "Merge", "Strict"',
    { supplementalGroupsPolicy: "X" },
  ],
  [
    'fsGroupChangePolicy: Unsupported value: "Never": supported values: "Always", "OnRootMismatch"',
    { fsGroupChangePolicy: "Never" },
  ],
  [
    'seLinuxChangePolicy: Unsupported value: "X": supported values: "MountOption", "Recursive"',
    { seLinuxChangePolicy: "X" },
  ],
  ["sysctls[0].name: Required value", { sysctls: [{ value: "1" }] }],
  [
    `sysctls[0].name: Invalid value: "Net": must have at most 253 characters and match regex ${regex}`,
    { sysctls: [{ name: "Net" }] },
  ],
  [
    'sysctls[1].name: Duplicate value: "kernel.sem"',
    { sysctls: [{ name: "kernel.sem" }, { name: "kernel.sem" }] },
  ],
  [
    "seccompProfile.type: Required value: type is required when seccompProfile is set",
    { seccompProfile: {} },
  ],
  [
    "seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
    { seccompProfile: { type: "Localhost" } },
  ],
  [
    "seccompProfile.localhostProfile: Invalid value: \"../x\": must not contain '..'",
    { seccompProfile: { type: "Localhost", localhostProfile: "../x" } },
  ],
  [
    'seccompProfile.localhostProfile: Invalid value: {"Type":"Unconfined","LocalhostProfile":"x"}: ' +
      "can only be set when seccomp type is Localhost",
    { seccompProfile: { type: "Unconfined", localhostProfile: "x" } },
  ],
  [
    'appArmorProfile.type: Unsupported value: "X": supported values: "Localhost", "RuntimeDefault", ' +
      '"Unconfined"',
    { appArmorProfile: { type: "X" } },
  ],
  [
    'appArmorProfile.localhostProfile: Invalid value: " x": must not be padded with whitespace',
    { appArmorProfile: { type: "Localhost", localhostProfile: " x" } },
  ],
  [
    "windowsOptions: Forbidden: windows options cannot be set for a linux pod",
    { windowsOptions: { runAsUserName: "x" } },
  ],
];

const containerRows: [string, Loose][] = [
  [`.runAsUser: Invalid value: -1: ${range}`, { runAsUser: -1 }],
  [
    '.procMount: Unsupported value: "X": supported values: "Default", "Unmasked"',
    { procMount: "X" },
  ],
  [
    '.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`',
    { procMount: "Unmasked" },
  ],
  [
    ': Invalid value: {"Capabilities":null,"Privileged":true,"SELinuxOptions":null,' +
      '"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":null,"RunAsNonRoot":null,' +
      '"ReadOnlyRootFilesystem":null,"AllowPrivilegeEscalation":false,"ProcMount":null,' +
      '"SeccompProfile":null,"AppArmorProfile":null}: cannot set ' +
      "`allowPrivilegeEscalation` to false and `privileged` to true",
    { privileged: true, allowPrivilegeEscalation: false },
  ],
  [
    ': Invalid value: {"Capabilities":{"Add":["CAP_SYS_ADMIN"],"Drop":null},"Privileged":null,' +
      '"SELinuxOptions":null,"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":null,' +
      '"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,"AllowPrivilegeEscalation":false,' +
      '"ProcMount":null,"SeccompProfile":null,"AppArmorProfile":null}: ' +
      "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
    { allowPrivilegeEscalation: false, capabilities: { add: ["CAP_SYS_ADMIN"] } },
  ],
  [
    ".windowsOptions: Forbidden: windows options cannot be set for a linux pod",
    { windowsOptions: {} },
  ],
];

test("each thing wrong with a security context is told in upstream's words", () => {
  for (const [expected, context] of podRows) {
    assert.deepEqual(problems(podContext(context)), [`${inPod}.${expected}`]);
  }
  for (const [expected, context] of containerRows) {
    assert.deepEqual(problems(ofContainer(context)), [`${inContainer}${expected}`]);
  }
});

test("what a pod may not share with its node at the same time", () => {
  const rows: [string, (spec: Loose) => void][] = [
    [
      'spec.securityContext.sysctls[0].name: Invalid value: "net.core.somaxconn": ' +
        "may not be specified when 'hostNetwork' is true",
      (spec) => {
        spec.hostNetwork = true;
        spec.securityContext = { sysctls: [{ name: "net.core.somaxconn" }] };
      },
    ],
    [
      'spec.securityContext.sysctls[0].name: Invalid value: "kernel.shm_rmid_forced": ' +
        "may not be specified when 'hostIPC' is true",
      (spec) => {
        spec.hostIPC = true;
        spec.securityContext = { sysctls: [{ name: "kernel.shm_rmid_forced" }] };
      },
    ],
    [
      "spec.securityContext.shareProcessNamespace: Invalid value: true: " +
        "ShareProcessNamespace and HostPID cannot both be enabled",
      (spec) => Object.assign(spec, { hostPID: true, shareProcessNamespace: true }),
    ],
    [
      "spec.hostNetwork: Forbidden: when `hostUsers` is false",
      (spec) => Object.assign(spec, { hostUsers: false, hostNetwork: true }),
    ],
  ];
  for (const [expected, spoil] of rows) assert.deepEqual(problems(spoil), [expected]);
});
