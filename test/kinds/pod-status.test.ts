/** What a write of a pod's status may say: every word of what is wrong. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { copyJson, type Document } from "../../services/kinds/mod.ts";
import { type Loose, podDocument } from "./documents.ts";
import { registry } from "./registry.ts";

const pods = registry.required("v1", "Pod");
const user = { name: "system:node:node-0", groups: ["system:nodes"] };

interface Change {
  readonly spec?: Loose;
  readonly before?: Loose;
  readonly next: Loose;
}

function faultsOf({ spec = {}, before = {}, next }: Change): string[] {
  const stored = podDocument();
  Object.assign(stored.spec, spec);
  const full = withDefaults({ ...stored, status: before });
  const changed = withDefaults({ ...copyJson(full), status: next });
  return pods
    .validateUpdate(changed as Document, full as Document, { user, subresource: "status" })
    .map(({ field, message }) => `${field}: ${message}`);
}

function withDefaults(document: Loose): Loose {
  pods.setDefaults(document as Document);
  return document;
}

const ended = (name: string, exitCode: number) => ({ name, state: { terminated: { exitCode } } });
const running = (name: string) => ({ name, state: { running: {} } });
const noReturn = "Forbidden: may not be transitioned to non-terminated state";
const oneOfEach = (path: string, addresses: readonly string[]) =>
  `${path}: Invalid value: ${JSON.stringify(addresses.map((ip) => ({ ip })))}: may specify no more than one IP for each IP family`;

const rows: [string, Change, string[]][] = [
  ["a condition of one's own", { next: { conditions: [{ type: "example.com/lit" }] } }, []],
  [
    "a generation below none",
    { next: { observedGeneration: -1, conditions: [{ type: "Ready", observedGeneration: -2 }] } },
    [
      "status.conditions[0].observedGeneration: Invalid value: -2: must be a non-negative integer",
      "status.observedGeneration: Invalid value: -1: must be a non-negative integer",
    ],
  ],
  [
    "another class",
    { next: { qosClass: "Guaranteed" } },
    ['status.qosClass: Invalid value: "Guaranteed": field is immutable'],
  ],
  ["a nominated node", { next: { nominatedNodeName: "node-1" } }, []],
  [
    "a nominated node of a pod that has one",
    { spec: { nodeName: "node-0" }, next: { nominatedNodeName: "node-1" } },
    [
      "status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node",
    ],
  ],
  [
    "a nomination that stays though the pod is bound",
    {
      spec: { nodeName: "node-0" },
      before: { nominatedNodeName: "node-1" },
      next: { nominatedNodeName: "node-1" },
    },
    [],
  ],
  ["addresses of both families", { next: { podIPs: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }] } }, []],
  [
    "an address that is none",
    { next: { podIPs: [{ ip: "10.0.0.256" }] } },
    [
      'status.podIPs[0]: Invalid value: "10.0.0.256": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    ],
  ],
  [
    "an address that is none, and was stored",
    { before: { podIPs: [{ ip: "10.0.0.01" }] }, next: { podIPs: [{ ip: "10.0.0.01" }] } },
    [],
  ],
  [
    "two addresses of a family",
    { next: { podIPs: [{ ip: "10.0.0.1" }, { ip: "10.0.0.2" }] } },
    [oneOfEach("status.podIPs", ["10.0.0.1", "10.0.0.2"])],
  ],
  [
    "addresses of the node that are not that of the node",
    { next: { hostIP: "10.0.0.1", hostIPs: [{ ip: "10.0.0.2" }] } },
    ['status.hostIPs[0].ip: Invalid value: "10.0.0.2": must be equal to `hostIP`'],
  ],
  [
    "a container that is started again",
    {
      spec: { restartPolicy: "Always" },
      before: { containerStatuses: [ended("main", 0)] },
      next: { containerStatuses: [running("main")] },
    },
    [],
  ],
  [
    "a container that returns under Never",
    {
      spec: { restartPolicy: "Never" },
      before: { containerStatuses: [running("other"), ended("main", 1)] },
      next: { containerStatuses: [running("main")] },
    },
    [`status.containerStatuses[1].state: ${noReturn}`],
  ],
  [
    "a container that failed, under OnFailure",
    {
      spec: { restartPolicy: "OnFailure" },
      before: { containerStatuses: [ended("main", 1)] },
      next: { containerStatuses: [running("main")] },
    },
    [],
  ],
  [
    "a container that succeeded, under OnFailure",
    {
      spec: { restartPolicy: "OnFailure" },
      before: { containerStatuses: [ended("main", 0)] },
      next: { containerStatuses: [running("main")] },
    },
    [`status.containerStatuses[0].state: ${noReturn}`],
  ],
  [
    "a sidecar that is started again, an init container that is not",
    {
      spec: {
        restartPolicy: "Never",
        initContainers: [
          { name: "side", image: "a", restartPolicy: "Always" },
          { name: "first", image: "a" },
        ],
      },
      before: { initContainerStatuses: [ended("side", 0), ended("first", 0)] },
      next: { initContainerStatuses: [running("side"), running("first")] },
    },
    [`status.initContainerStatuses[1].state: ${noReturn}`],
  ],
  [
    "an ephemeral container that returns",
    {
      before: { ephemeralContainerStatuses: [ended("debug", 1)] },
      next: { ephemeralContainerStatuses: [running("debug")] },
    },
    [`status.ephemeralContainerStatuses[0].state: ${noReturn}`],
  ],
  [
    "devices of an ephemeral container",
    {
      next: {
        ephemeralContainerStatuses: [{ name: "debug", allocatedResourcesStatus: [{ name: "x" }] }],
      },
    },
    [
      "status.ephemeralContainerStatuses[0].allocatedResourcesStatus: Forbidden: must not be specified in container status",
    ],
  ],
  [
    "a user below none",
    { next: { containerStatuses: [{ name: "main", user: { linux: { uid: -1, gid: 0 } } }] } },
    [
      "status.containerStatuses[0].user.linux.uid: Invalid value: -1: must be between 0 and 2147483647, inclusive",
    ],
  ],
  [
    "claims that the pod does not name, one twice",
    {
      spec: { resourceClaims: [{ name: "gpu", resourceClaimName: "gpu" }] },
      next: {
        resourceClaimStatuses: [{ name: "gpu" }, { name: "gpu" }, { name: "other" }],
      },
    },
    [
      'status.resourceClaimStatuses[1].name: Duplicate value: "gpu"',
      'status.resourceClaimStatuses[2].name: Invalid value: "other": must match the name of an entry in `spec.resourceClaims`',
    ],
  ],
];

for (const [what, change, expected] of rows) {
  test(what, () => {
    assert.deepEqual(faultsOf(change), expected);
  });
}

test("podIP and podIPs follow each other; of two that differ the first counts", () => {
  const status = (given: Loose) => withDefaults({ ...podDocument(), status: given })["status"];
  const [one, two] = [{ ip: "10.0.0.1" }, { ip: "fd00::1" }];
  assert.deepEqual(status({ podIP: "10.0.0.1" }).podIPs, [one]);
  assert.equal(status({ podIPs: [two, one] }).podIP, "fd00::1");
  assert.deepEqual(status({ podIP: "10.0.0.1", podIPs: [one, two] }).podIPs, [one, two]);
  assert.deepEqual(status({ podIP: "10.0.0.1", podIPs: [two] }).podIPs, [one]);
});
