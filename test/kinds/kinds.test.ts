import assert from "node:assert/strict";
import { test } from "node:test";
import { messages } from "../../proto/gen/schema.ts";
import { apiVersionOf, serviceNameOf } from "../../services/kinds/mod.ts";
import { check, type Loose, meta, row, serviceDocument, updateProblems } from "./documents.ts";
import { registry } from "./registry.ts";
import { assertFaults, created } from "./tables.ts";

test("every kind of the contracts is registered, and found by all its names", () => {
  const contracts = Object.keys(messages).filter((name) => messages[name]?.resource !== undefined);
  assert.deepEqual([...registry].map(({ schema }) => schema.message).sort(), contracts.sort());
  for (const kind of registry) {
    assert.equal(registry.byKind(apiVersionOf(kind), kind.kind), kind);
    assert.equal(registry.byService(serviceNameOf(kind) ?? ""), kind);
    // Of two versions of a kind, the one that objects are stored in is meant.
    const meant = kind.storedAs?.resource.group === kind.group ? kind.storedAs.resource : kind;
    for (const name of [kind.plural, kind.singular, kind.kind, ...kind.shortNames]) {
      assert.equal(registry.find(name, kind.group), meant, name);
    }
  }
  assert.equal(registry.byService("trireme.core.v1.Pods")?.kind, "Pod");
  assert.equal(registry.find("deploy", ""), undefined);
  assert.equal(registry.byKind("v1", "Nothing"), undefined);
});

const document = (apiVersion: string, kind: string, rest: Loose = {}): Loose => ({
  apiVersion,
  kind,
  metadata: meta("x"),
  ...rest,
});
const node = (rest: Loose) => document("v1", "Node", rest);
const taint = (...taints: Loose[]) => node({ spec: { taints } });
const secret = (rest: Loose) => document("v1", "Secret", rest);
const configMap = (rest: Loose) => document("v1", "ConfigMap", rest);
const lease = (spec: Loose) => document("coordination.k8s.io/v1", "Lease", { spec });
const endpoints = (...subsets: Loose[]) => document("v1", "Endpoints", { subsets });
const event = (rest: Loose) => document("v1", "Event", rest);
const address = { ip: "127.64.0.1" };
const big = "x".repeat(1_048_577);

test("valid and invalid documents of the smaller kinds", () => {
  const rows: [Loose, string[]][] = [
    [document("v1", "Namespace"), []],
    [document("v1", "ServiceAccount"), []],
    [node({}), []],
    [taint({ key: "a", effect: "NoSchedule" }, { key: "a", effect: "NoExecute" }), []],
    [taint({ key: "a b", effect: "NoSchedule" }), ["FieldValueInvalid metadata.taints[0].key"]],
    [taint({ key: "a" }), ["FieldValueRequired metadata.taints[0].effect"]],
    [taint({ key: "a", effect: "No" }), ["FieldValueNotSupported metadata.taints[0].effect"]],
    [
      taint({ key: "a", effect: "NoExecute" }, { key: "a", effect: "NoExecute", value: "b" }),
      ["FieldValueDuplicate metadata.taints[1]"],
    ],
    [node({ spec: { podCIDR: "127.64.1.0/24" } }), []],
    [node({ spec: { podCIDR: "127.64.1.0" } }), ["FieldValueInvalid spec.podCIDRs[0]"]],
    [
      node({ status: { allocatable: { cpu: "many" } } }),
      ["FieldValueInvalid status.allocatable.cpu"],
    ],
    [lease({ leaseDurationSeconds: 15, renewTime: "2026-01-01T00:00:00.123456Z" }), []],
    [lease({ leaseDurationSeconds: 0 }), ["FieldValueInvalid spec.leaseDurationSeconds"]],
    [lease({ leaseTransitions: -1 }), ["FieldValueInvalid spec.leaseTransitions"]],
    [lease({ renewTime: "yesterday" }), ["FieldValueInvalid spec.renewTime"]],
    [configMap({ data: { "a.b": "1" }, binaryData: { c: "AAEC" } }), []],
    [configMap({ data: { "a/b": "1" } }), ["FieldValueInvalid data[a/b]"]],
    [configMap({ data: { "..": "1" } }), ["FieldValueInvalid data[..]"]],
    [configMap({ data: { a: "1" }, binaryData: { a: "AA==" } }), ["FieldValueInvalid data[a]"]],
    [configMap({ data: { a: big } }), ["FieldValueTooLong []"]],
    [secret({ stringData: { a: "1" } }), []],
    [
      secret({ type: "kubernetes.io/tls", data: { "tls.crt": "AA==" } }),
      ["FieldValueRequired data[tls.key]"],
    ],
    [
      secret({ type: "kubernetes.io/service-account-token" }),
      ["FieldValueRequired metadata.annotations[kubernetes.io/service-account.name]"],
    ],
    [endpoints({ addresses: [address], ports: [{ port: 80 }] }), []],
    [endpoints({ ports: [{ port: 80 }] }), ["FieldValueRequired subsets[0]"]],
    [
      endpoints({ addresses: [{ ip: "x" }] }),
      Array(2).fill("FieldValueInvalid subsets[0].addresses[0].ip"),
    ],
    [
      endpoints({ addresses: [address], ports: [{ port: 0 }] }),
      ["FieldValueInvalid subsets[0].ports[0].port"],
    ],
    [event({ involvedObject: { kind: "Pod", name: "p", namespace: "default" } }), []],
    [event({ involvedObject: { kind: "Node", name: "n" } }), []],
    [
      event({ involvedObject: { kind: "Pod", namespace: "other" } }),
      ["FieldValueInvalid involvedObject.namespace"],
    ],
    [document("node.trireme.io/v1", "NodeLiveness", { nodes: { n1: { streamOpen: true } } }), []],
    [
      document("node.trireme.io/v1", "NodeLiveness", { observedTime: "x" }),
      ["FieldValueInvalid observedTime"],
    ],
  ];
  for (const [each, expected] of rows) {
    assert.deepEqual(check(each).problems, expected, JSON.stringify(each).slice(0, 200));
  }
});

const nameExamples =
  "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is " +
  "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const subdomainExamples =
  "(e.g. 'example.com', regex used for validation is " +
  "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

test("the smaller kinds: what is wrong, in upstream's words", () => {
  const effects = 'supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"';
  const range = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
  const at = "subsets[0].addresses[0]";
  const finalizer = "name is neither a standard finalizer name nor is it fully qualified";
  const quota = 'Invalid value: "x": must be a standard resource';
  assertFaults([
    [
      taint({ key: "a", effect: "No" }),
      [`metadata.taints[0].effect: Unsupported value: "No": ${effects}`],
    ],
    [
      taint(...Array(2).fill({ key: "a", value: "b", effect: "NoSchedule" })),
      [
        'metadata.taints[1]: Duplicate value: {"Key":"a","Value":"b","Effect":"NoSchedule",' +
          '"TimeAdded":null}: taints must be unique by key and effect pair',
      ],
    ],
    [
      node({ spec: { podCIDR: "x", podCIDRs: ["10.1.0.0/24"] } }),
      [`spec.podCIDRs[0]: Invalid value: "x": ${range}`],
    ],
    [
      node({ spec: { podCIDRs: ["10.1.0.0/24", "10.2.0.0/24"] } }),
      [
        'spec.podCIDRs: Invalid value: ["10.1.0.0/24","10.2.0.0/24"]: may specify no more than ' +
          "one CIDR for each IP family",
      ],
    ],
    [node({ spec: { podCIDRs: ["10.1.0.0/24", "fd00::/64"] } }), []],
    [
      document("v1", "Namespace", { spec: { finalizers: ["mine", "a.b/c"] } }),
      [`spec.finalizers: Invalid value: "mine": ${finalizer}`],
    ],
    [
      endpoints({ addresses: [{ ip: "x" }] }),
      [
        `${at}.ip: Invalid value: "x": must be a valid IP address, ` +
          "(e.g. 10.9.8.7 or 2001:db8::ffff)",
        `${at}.ip: Invalid value: "x": must be a valid IP address`,
      ],
    ],
    [
      endpoints({ addresses: [{ ...address, nodeName: "N" }] }),
      [
        `${at}.nodeName: Invalid value: "N": a lowercase RFC 1123 subdomain must consist of ` +
          "lower case alphanumeric characters, '-' or '.', and must start and end with an " +
          `alphanumeric character ${subdomainExamples}`,
      ],
    ],
    ...(
      [
        ["0.0.0.0", "may not be unspecified (0.0.0.0)"],
        ["169.254.1.1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"],
        ["ff02::1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"],
      ] as const
    ).map(([ip, detail]): [Loose, string[]] => [
      endpoints({ addresses: [{ ip }] }),
      [`${at}.ip: Invalid value: "${ip}": ${detail}`],
    ]),
    [
      endpoints({ addresses: [address], ports: [{ port: 1, protocol: "", appProtocol: "a b" }] }),
      [
        'subsets[0].ports[0].appProtocol: Invalid value: "a b": name part must consist of ' +
          "alphanumeric characters, '-', '_' or '.', and must start and end with an " +
          `alphanumeric character ${nameExamples}`,
      ],
    ],
    [
      node({ status: { capacity: { pods: "1.5", "a.b/gpu": "500m" }, allocatable: {} } }),
      [
        'status.capacity.pods: Invalid value: "1500m": must be an integer',
        'status.capacity.a.b/gpu: Invalid value: "500m": must be an integer',
      ],
    ],
    [
      secret({ type: "kubernetes.io/ssh-auth", data: { "ssh-privatekey": "" } }),
      ["data[ssh-privatekey]: Required value"],
    ],
    [
      document("v1", "LimitRange", {
        spec: { limits: [{ type: "Pod", max: { x: "1" } }] },
      }),
      [
        `spec.limits[0].max[x]: ${quota} type or fully qualified`,
        `spec.limits[0].max[x]: ${quota} for containers`,
      ],
    ],
  ]);
});

test("what older clients leave to the server", () => {
  const spec = (fields: Loose) => created(node({ spec: fields })).spec;
  assert.deepEqual(spec({ podCIDRs: ["10.1.0.0/24"] }).podCIDR, "10.1.0.0/24");
  assert.deepEqual(spec({ podCIDR: "10.2.0.0/24", podCIDRs: ["10.1.0.0/24"] }).podCIDRs, [
    "10.2.0.0/24",
  ]);
  assert.equal(created(secret({ type: "" })).type, "Opaque");
  const unnamed: Loose = document("v1", "LimitRange", { metadata: { uid: "u-1" } });
  registry.byKind("v1", "LimitRange")?.prepareForCreate(unnamed);
  assert.equal(unnamed.metadata.name, "u-1");
  const removed: Loose = node({ spec: { configSource: { configMap: { name: "a" } } } });
  registry.byKind("v1", "Node")?.prepareForCreate(removed);
  assert.deepEqual(removed.spec, {});
});

test("services: defaults", () => {
  const { document, problems } = check(serviceDocument());
  assert.deepEqual(problems, []);
  const { type, sessionAffinity, ports } = document.spec;
  assert.deepEqual([type, sessionAffinity], ["ClusterIP", "None"]);
  assert.deepEqual(ports, [{ port: 80, protocol: "TCP", targetPort: 80 }]);
});

const headless = { clusterIP: "None", clusterIPs: ["None"] };

test("services: what is wrong", () => {
  const rows: [string[], (spec: Loose) => void][] = [
    [["FieldValueRequired spec.ports"], (spec) => delete spec.ports],
    [[], (spec) => Object.assign(spec, { ...headless, ports: undefined })],
    [[], (spec) => Object.assign(spec, { type: "ExternalName", externalName: "a.b", ports: [] })],
    [
      ["FieldValueRequired spec.externalName"],
      (spec) => Object.assign(spec, { type: "ExternalName" }),
    ],
    [["FieldValueNotSupported spec.type"], (spec) => (spec.type = "X")],
    [["FieldValueNotSupported spec.sessionAffinity"], (spec) => (spec.sessionAffinity = "X")],
    [
      ["FieldValueInvalid spec.clusterIPs[0]"],
      (spec) => Object.assign(spec, { clusterIP: "x", clusterIPs: ["x"] }),
    ],
    [
      ["FieldValueInvalid spec.ports[0].port", "FieldValueInvalid spec.ports[0].targetPort"],
      (spec) => (spec.ports = [{ port: 0 }]),
    ],
    [["FieldValueInvalid spec.ports[0].targetPort"], (spec) => (spec.ports[0].targetPort = "a_b")],
    [["FieldValueForbidden spec.ports[0].nodePort"], (spec) => (spec.ports[0].nodePort = 30000)],
    [
      ["FieldValueForbidden spec.LoadBalancerSourceRanges"],
      (spec) => (spec.loadBalancerSourceRanges = ["10.0.0.0/8"]),
    ],
    [
      ["FieldValueInvalid spec.LoadBalancerSourceRanges[1]"],
      (spec) =>
        Object.assign(spec, {
          type: "LoadBalancer",
          loadBalancerSourceRanges: ["10.0.0.0/8", "10.0.0.0"],
        }),
    ],
    [[], (spec) => (spec.trafficDistribution = "PreferClose")],
    [
      ["FieldValueNotSupported spec.trafficDistribution"],
      (spec) => (spec.trafficDistribution = ""),
    ],
    [
      ["FieldValueRequired spec.ports[1].name"],
      (spec) => (spec.ports = [{ port: 1, name: "a" }, { port: 2 }]),
    ],
    [
      ["FieldValueDuplicate spec.ports[1]"],
      (spec) =>
        (spec.ports = [
          { port: 1, name: "a" },
          { port: 1, name: "b" },
        ]),
    ],
  ];
  for (const [expected, spoil] of rows) {
    const service = serviceDocument();
    spoil(service.spec);
    assert.deepEqual(check(service).problems, expected);
  }
});

test("services: the cluster address stays", () => {
  const stored = serviceDocument();
  const at = (address: string) => ({ clusterIP: address, clusterIPs: [address] });
  Object.assign(stored.spec, at("127.32.0.9"));
  const change = (next: Loose) => Object.assign(next.spec, at("127.32.0.10"));
  assert.deepEqual(updateProblems(stored, change), ["FieldValueInvalid spec.clusterIPs[0]"]);
  const open = { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 1 };
  Object.assign(stored.spec, open);
  const other = { healthCheckNodePort: 2, loadBalancerClass: "c" };
  assert.deepEqual(
    updateProblems(stored, (next) => Object.assign(next.spec, other)),
    ["FieldValueInvalid spec.loadBalancerClass", "FieldValueForbidden spec.healthCheckNodePort"],
  );
});

test("services: what is wrong, in upstream's words", () => {
  const service = (spec: Loose, annotations?: Loose): Loose => ({
    ...serviceDocument(),
    ...(annotations && { metadata: { ...meta("s"), annotations } }),
    spec: { ports: [{ port: 80 }], ...spec },
  });
  const ofBalancers = "Forbidden: may only be used when `type` is 'LoadBalancer'";
  const address = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
  const ranges = "service.beta.kubernetes.io/load-balancer-source-ranges";
  const cidr = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
  const outside = "may only be set for externally-accessible services";
  const port = { Name: "", Protocol: "TCP", AppProtocol: null, Port: 80 };
  const hints = "service.kubernetes.io/topology-aware-hints";
  const mode = "service.kubernetes.io/topology-mode";
  assertFaults([
    [service({ type: "", sessionAffinity: "", ports: [{ port: 80, protocol: "" }] }), []],
    [
      service({ clusterIPs: ["10.0.0.1"] }),
      [
        'spec.clusterIPs: Invalid value: ["10.0.0.1"]: must be empty when `clusterIP` is not ' +
          "specified",
      ],
    ],
    [
      service({ clusterIP: "None", clusterIPs: ["None", "x"] }),
      [
        `spec.clusterIPs: Invalid value: ["None","x"]: 'None' must be the first and only value`,
        `spec.clusterIPs[1]: Invalid value: "x": ${address}`,
      ],
    ],
    [
      service({ clusterIP: "10.0.0.1", clusterIPs: ["10.0.0.1", "10.0.0.2"] }),
      [
        'spec.clusterIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP ' +
          "for each IP family",
      ],
    ],
    [
      service({ clusterIP: "fd00::1", clusterIPs: ["fd00::1"], ipFamilies: ["IPv4"] }),
      [
        'spec.clusterIPs[0]: Invalid value: "fd00::1": expected an IPv4 value as indicated by ' +
          "`ipFamilies[0]`",
      ],
    ],
    [
      service({ ...headless, type: "NodePort" }),
      [`spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort services`],
    ],
    [
      service({ allocateLoadBalancerNodePorts: true, loadBalancerClass: "c" }),
      [
        `spec.allocateLoadBalancerNodePorts: ${ofBalancers}`,
        `spec.loadBalancerClass: ${ofBalancers}`,
      ],
    ],
    [
      service({ externalTrafficPolicy: "Local", internalTrafficPolicy: "x" }),
      [
        `spec.externalTrafficPolicy: Invalid value: "Local": ${outside}`,
        'spec.internalTrafficPolicy: Unsupported value: "x": supported values: "Cluster", "Local"',
      ],
    ],
    [
      service({ trafficDistribution: "x" }),
      [
        'spec.trafficDistribution: Unsupported value: "x": supported values: "PreferClose", ' +
          '"PreferSameZone", "PreferSameNode"',
      ],
    ],
    [
      service({
        ports: [
          { port: 80, name: "a" },
          { port: 80, name: "b" },
        ],
      }),
      [
        `spec.ports[1]: Duplicate value: ${JSON.stringify({ ...port, TargetPort: 0, NodePort: 0 })}`,
      ],
    ],
    [
      service({}, { [ranges]: "1.2.3.0/24, 1.2.3.4/33" }),
      [
        `metadata.annotations[${ranges}]: ${ofBalancers}`,
        `metadata.annotations[${ranges}]: Invalid value: "1.2.3.4/33": ${cidr}`,
      ],
    ],
    [
      service({}, { [hints]: "Auto", [mode]: "x" }),
      [
        `metadata.annotations[${mode}]: Invalid value: "x": must match annotations[${hints}] when ` +
          "both are specified",
      ],
    ],
    [
      service({ externalIPs: ["169.254.0.1"] }),
      [
        'spec.externalIPs[0]: Invalid value: "169.254.0.1": may not be in the link-local range ' +
          "(169.254.0.0/16, fe80::/10)",
      ],
    ],
  ]);
});

test("immutable data and types", () => {
  const stored = { ...configMap({ data: { a: "1" } }), immutable: true };
  const change = (next: Loose) => (next.data.a = "2");
  assert.deepEqual(updateProblems(stored, change), ["FieldValueForbidden data"]);
  assert.deepEqual(
    updateProblems(stored, (next) => delete next.immutable),
    ["FieldValueForbidden immutable"],
  );
  const retype = (next: Loose) => (next.type = "x");
  assert.deepEqual(updateProblems(secret({}), retype), ["FieldValueInvalid type"]);
});

test("a secret's stringData becomes data", () => {
  const { document } = check(secret({ data: { a: "MQ==", b: "Mg==" }, stringData: { a: "new" } }));
  assert.deepEqual(document.data, { a: "bmV3", b: "Mg==" });
  assert.equal(document.stringData, undefined);
  assert.equal(document.type, "Opaque");
});

test("rows of nodes, services, endpoints and namespaces", () => {
  const cells = row(
    {
      ...node({
        spec: { unschedulable: true },
        status: {
          conditions: [{ type: "Ready", status: "True" }],
          nodeInfo: { kubeletVersion: "v1" },
        },
      }),
      metadata: { name: "n", labels: { "node-role.kubernetes.io/worker": "" } },
    },
    0,
  );
  assert.deepEqual(
    [cells.Status, cells.Roles, cells.Version, cells["Internal-IP"]],
    ["Ready,SchedulingDisabled", "worker", "v1", "<none>"],
  );
  const service = row(check(serviceDocument()).document, 0);
  assert.deepEqual(
    [service.Type, service["Port(s)"], service["External-IP"]],
    ["ClusterIP", "80/TCP", "<none>"],
  );
  const many = [1, 2, 3, 4, 5].map((n) => ({ ip: `127.64.0.${n}` }));
  assert.equal(
    row(endpoints({ addresses: many, ports: [{ port: 80 }] }), 0).Endpoints,
    "127.64.0.1:80,127.64.0.2:80,127.64.0.3:80 + 2 more...",
  );
  assert.equal(row(check(document("v1", "Namespace")).document, 0).Status, "Active");
});
