import assert from "node:assert/strict";
import { test } from "node:test";
import { validateMetadata } from "../../services/kinds/mod.ts";
import { type Loose, row } from "./documents.ts";
import { registry } from "./registry.ts";
import { assertFaults, created, documents, updateFaults } from "./tables.ts";

const version = "networking.k8s.io/v1";
const ingress = documents(version, "Ingress", true);
const ingressClass = documents(version, "IngressClass");
const policy = documents(version, "NetworkPolicy", true);
const address = documents(version, "IPAddress");
const cidr = documents(version, "ServiceCIDR");

const backend = { service: { name: "web", port: { number: 80 } } };
const rules = (...list: Loose[]) => ingress({ spec: { rules: list } });
const path = (fields: Loose = {}) =>
  rules({ http: { paths: [{ path: "/", pathType: "Prefix", backend, ...fields }] } });
const to = (one: Loose) => ingress({ spec: { defaultBackend: one } });
const at = "spec.rules[0].http.paths[0]";
const subdomain =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', " +
  "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for " +
  "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const wildcard =
  "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which " +
  "must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric " +
  "character (e.g. '*.example.com', regex used for validation is " +
  "'\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

test("an ingress: every fault in its words", () => {
  assertFaults([
    [path(), []],
    [to(backend), []],
    [rules({ host: "*.example.com" }), []],
    [path({ path: "", pathType: "ImplementationSpecific" }), []],
    [
      ingress({ spec: {} }),
      ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
    ],
    [to({}), ['spec.defaultBackend: Invalid value: "": resource or service backend is required']],
    [
      to({ ...backend, resource: { kind: "A", name: "b" } }),
      ['spec.defaultBackend: Invalid value: "": cannot set both resource and service backends'],
    ],
    [
      to({ resource: {} }),
      [
        "spec.defaultBackend.resource.kind: Required value",
        "spec.defaultBackend.resource.name: Required value",
      ],
    ],
    [
      to({ service: { port: {} } }),
      [
        "spec.defaultBackend.service.name: Required value",
        "spec.defaultBackend: Required value: port name or number is required",
      ],
    ],
    [
      to({ service: { name: "a", port: { name: "http", number: 1 } } }),
      ['spec.defaultBackend: Invalid value: "": cannot set both port name & port number'],
    ],
    [
      to({ service: { name: "a", port: { number: 70_000 } } }),
      [
        "spec.defaultBackend.service.port.number: Invalid value: 70000: must be between 1 and " +
          "65535, inclusive",
      ],
    ],
    [
      rules({ host: "10.0.0.1" }),
      ['spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address'],
    ],
    [rules({ host: "A" }), [`spec.rules[0].host: Invalid value: "A": ${subdomain}`]],
    [rules({ host: "a.*" }), [`spec.rules[0].host: Invalid value: "a.*": ${wildcard}`]],
    [rules({ http: {} }), ["spec.rules[0].http.paths: Required value"]],
    [path({ pathType: undefined }), [`${at}.pathType: Required value: pathType must be specified`]],
    [
      path({ pathType: "Regex" }),
      [
        `${at}.pathType: Unsupported value: "Regex": supported values: "Exact", ` +
          '"ImplementationSpecific", "Prefix"',
      ],
    ],
    [path({ path: "a" }), [`${at}.path: Invalid value: "a": must be an absolute path`]],
    [
      path({ path: "/a//b/.." }),
      [
        `${at}.path: Invalid value: "/a//b/..": must not contain '//'`,
        `${at}.path: Invalid value: "/a//b/..": cannot end with '/..'`,
      ],
    ],
    [
      ingress({ spec: { defaultBackend: backend, tls: [{ hosts: ["A"] }] } }),
      [`spec.tls[0].hosts[0]: Invalid value: "A": ${subdomain}`],
    ],
    [
      { ...to(backend), status: { loadBalancer: { ingress: [{ ip: "x" }] } } },
      [
        'status.loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address, ' +
          "(e.g. 10.9.8.7 or 2001:db8::ffff)",
      ],
    ],
  ]);
});

test("an ingress: columns", () => {
  const plain = created(to(backend));
  assert.deepEqual(plain.status, { loadBalancer: {} });
  assert.deepEqual(Object.entries(row(plain, 0)).slice(1, 5), [
    ["Class", "<none>"],
    ["Hosts", "*"],
    ["Address", ""],
    ["Ports", "80"],
  ]);
  const full = ingress({
    spec: {
      ingressClassName: "c",
      tls: [{}],
      rules: ["a", "b", "c", "d"].map((host) => ({ host })),
    },
    status: { loadBalancer: { ingress: [{ ip: "10.0.0.2" }, { hostname: "h" }] } },
  });
  const { Class, Hosts, Address, "Port(s)": none, Ports } = row(full, 0);
  assert.deepEqual(
    [Class, Hosts, Address, none, Ports],
    ["c", "a,b,c + 1 more...", "10.0.0.2,h", undefined, "80, 443"],
  );
});

test("an ingress class", () => {
  const spec = (fields: Loose) =>
    ingressClass({ spec: { controller: "example.com/c", ...fields } });
  const parameters = { apiGroup: "example.com", kind: "K", name: "n" };
  const field = "spec.parameters.namespace";
  assertFaults([
    [spec({ parameters }), []],
    [spec({ controller: undefined }), ["spec.controller: Required value"]],
    [
      spec({ controller: "c" }),
      [
        'spec.controller: Invalid value: "c": must be a domain-prefixed path (such as "acme.io/foo")',
      ],
    ],
    [
      spec({ parameters: { ...parameters, scope: "Galaxy" } }),
      [
        'spec.parameters.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespace"',
      ],
    ],
    [
      spec({ parameters: { ...parameters, scope: "Namespace" } }),
      [`${field}: Required value: \`parameters.scope\` is set to 'Namespace'`],
    ],
    [
      spec({ parameters: { ...parameters, namespace: "n" } }),
      [`${field}: Forbidden: \`parameters.scope\` is set to 'Cluster'`],
    ],
  ]);
  const stored = created(spec({ parameters }));
  assert.equal(stored.spec.parameters.scope, "Cluster");
  assert.equal(row(stored, 0)["Parameters"], "K.example.com/n");
  assert.equal(row(spec({}), 0)["Parameters"], "<none>");
  assert.deepEqual(
    updateFaults(stored, (next) => (next.spec.controller = "example.com/d")),
    ['spec.controller: Invalid value: "example.com/d": field is immutable'],
  );
});

test("a network policy: defaults, faults, columns", () => {
  assert.deepEqual(created(policy({})).spec, { podSelector: {}, policyTypes: ["Ingress"] });
  const both = created(policy({ spec: { egress: [{ ports: [{ port: 53 }] }] } }));
  assert.deepEqual(both.spec.policyTypes, ["Ingress", "Egress"]);
  assert.deepEqual(both.spec.egress[0].ports, [{ port: 53, protocol: "TCP" }]);
  const port = (one: Loose) => policy({ spec: { ingress: [{ ports: [one] }] } });
  const peer = (one: Loose) => policy({ spec: { egress: [{ to: [one] }] } });
  const portAt = "spec.ingress[0].ports[0]";
  const peerAt = "spec.egress[0].to[0]";
  assertFaults([
    [port({ port: 80, endPort: 90 }), []],
    [port({ port: "http" }), []],
    [peer({ podSelector: {}, namespaceSelector: {} }), []],
    [peer({ ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] } }), []],
    [
      port({ protocol: "ICMP" }),
      [`${portAt}.protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"`],
    ],
    [
      port({ port: 0 }),
      [`${portAt}.port: Invalid value: 0: must be between 1 and 65535, inclusive`],
    ],
    [
      port({ port: 80, endPort: 79 }),
      [`${portAt}.endPort: Invalid value: 80: must be greater than or equal to \`port\``],
    ],
    [
      port({ port: "http", endPort: 80 }),
      [`${portAt}.endPort: Invalid value: 80: may not be specified when \`port\` is non-numeric`],
    ],
    [
      port({ endPort: 80 }),
      [`${portAt}.endPort: Invalid value: 80: may not be specified when \`port\` is not specified`],
    ],
    [peer({}), [`${peerAt}: Required value: must specify a peer`]],
    [
      peer({ podSelector: {}, ipBlock: { cidr: "10.0.0.0/8" } }),
      [`${peerAt}: Forbidden: may not specify both ipBlock and another peer`],
    ],
    [peer({ ipBlock: {} }), [`${peerAt}.ipBlock.cidr: Required value`]],
    [
      peer({ ipBlock: { cidr: "10.0.0.0" } }),
      [
        `${peerAt}.ipBlock.cidr: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. ` +
          "10.9.8.0/24 or 2001:db8::/64)",
      ],
    ],
    [
      peer({ ipBlock: { cidr: "10.0.0.0/8", except: ["11.0.0.0/16", "10.0.0.0/8", "fd00::/64"] } }),
      ["11.0.0.0/16", "10.0.0.0/8", "fd00::/64"].map(
        (text, index) =>
          `${peerAt}.ipBlock.except[${index}]: Invalid value: "${text}": must be a strict subset ` +
          "of `cidr`",
      ),
    ],
    [
      policy({ spec: { policyTypes: ["Ingress", "All"] } }),
      ['spec.policyTypes[1]: Unsupported value: "All": supported values: "Ingress", "Egress"'],
    ],
    [
      policy({ spec: { policyTypes: ["Ingress", "Egress", "Ingress"] } }),
      [
        'spec.policyTypes: Invalid value: ["Ingress","Egress","Ingress"]: may not specify more ' +
          "than two policyTypes",
      ],
    ],
  ]);
  const selecting = policy({ spec: { podSelector: { matchLabels: { app: "web" } } } });
  assert.equal(row(selecting, 0)["Pod-Selector"], "app=web");
  assert.equal(row(both, 0)["Pod-Selector"], "<none>");
});

test("an IP address", () => {
  const of = (parentRef: Loose, name = "10.0.0.1") => address({ spec: { parentRef } }, name);
  const parent = { resource: "services", namespace: "default", name: "web" };
  assertFaults([
    [of(parent), []],
    [address({}), ["spec.parentRef: Required value"]],
    [of({}), ["spec.parentRef.resource: Required value", "spec.parentRef.name: Required value"]],
    [
      of({ ...parent, namespace: "a/b" }),
      [`spec.parentRef.namespace: Invalid value: "a/b": may not contain '/'`],
    ],
  ]);
  const kind = registry.byKind(version, "IPAddress");
  assert.ok(kind);
  const names: [string, string[]][] = [
    ["10.0.0.1", []],
    ["fd00::1", []],
    ["10.0.0", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]],
    ["fd00:0::1", ['must be in canonical form ("fd00::1")']],
  ];
  for (const [name, expected] of names) {
    assert.deepEqual(
      validateMetadata(kind, of(parent, name)).map(({ message }) => message),
      expected.map((text) => `Invalid value: "${name}": ${text}`),
    );
  }
  assert.equal(row(of(parent), 0)["ParentRef"], "services/default/web");
  assert.equal(
    row(of({ ...parent, group: "Example.com" }), 0)["ParentRef"],
    "services.example.com/default/web",
  );
  assert.deepEqual(kind.selectableFields["spec.parentRef.name"]?.(of(parent)), "web");
  const [fault] = updateFaults(of(parent), (next) => (next.spec.parentRef.name = "x"));
  assert.match(fault ?? "", /^spec\.parentRef: Invalid value: .*: field is immutable$/);
});

test("a service CIDR", () => {
  const of = (...cidrs: string[]) => cidr({ spec: { cidrs } });
  const families =
    "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
  assertFaults([
    [of("10.0.0.0/16"), []],
    [of("10.0.0.0/16", "fd00::/64"), []],
    [of(), ["spec.cidrs: Required value: at least one CIDR required"]],
    [
      of("10.0.0.0/16", "10.1.0.0/16"),
      [`spec.cidrs: Invalid value: ["10.0.0.0/16","10.1.0.0/16"]: ${families}`],
    ],
    [
      of("10.0.0.1/16"),
      [
        'spec.cidrs[0]: Invalid value: "10.0.0.1/16": must not have bits set beyond the prefix ' +
          "length",
      ],
    ],
  ]);
  assert.equal(row(of("10.0.0.0/16", "fd00::/64"), 0)["CIDRs"], "10.0.0.0/16,fd00::/64");
  assert.deepEqual(
    updateFaults(of("10.0.0.0/16"), (next) => (next.spec.cidrs = ["10.1.0.0/16"])),
    ['spec.cidrs: Invalid value: ["10.1.0.0/16"]: field is immutable'],
  );
});
