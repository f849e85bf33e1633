/** What makes writes safe to repeat and leaders safe to depose. */
import assert from "node:assert/strict";
import { isIPv6 } from "node:net";
import { test } from "node:test";
import type { ServiceSpec } from "../../proto/gen/core.ts";
import {
  bind,
  create,
  documentBody,
  finalize,
  get,
  remove,
  update,
} from "../../services/apiserver/verbs/mod.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { adminCall, configMap, fails, kind, make, pod, service, world } from "./harness.ts";

const maps = kind("configmaps");
const pods = kind("pods");
const services = kind("services");
const leases = kind("leases");
const namespaces = kind("namespaces");
const at = { namespace: "default" };

function put(document: Document) {
  return { body: documentBody(structuredClone(document)), subresource: "", typed: false } as const;
}

test("a repeated create is answered with what the first one made", async () => {
  await using w = await world();
  const first = await make(w.backend, configMap("a"), adminCall({ requestId: "r1" }));
  await update(w.backend, adminCall(), maps, put(configMap("a", { later: "1" })));
  const repeat = adminCall({ requestId: "r1", attempt: 2 });
  const second = await make(w.backend, configMap("a"), repeat);
  assert.deepEqual(second.document, first.document);
  const generated = configMap("", {}, { name: undefined, generateName: "g-" });
  const one = await make(w.backend, generated, adminCall({ requestId: "r2" }));
  const two = await make(w.backend, generated, adminCall({ requestId: "r2", attempt: 2 }));
  assert.equal(two.name, one.name);
  assert.equal(two.revision, one.revision);
});

test("a repeated update whose check now fails is answered from memory", async () => {
  await using w = await world();
  const made = await make(w.backend, configMap("a"));
  const next = { ...made.copy(), data: { k: "1" } };
  const first = await update(w.backend, adminCall({ requestId: "u1" }), maps, put(next));
  const again = adminCall({ requestId: "u1", attempt: 2 });
  const second = await update(w.backend, again, maps, put(next));
  assert.deepEqual(second.document, first.document);
  const stranger = adminCall({ requestId: "u2", attempt: 2 });
  await fails(update(w.backend, stranger, maps, put(next)), "aborted", /has been modified/);
});

test("a repeated delete or bind succeeds although it is done already", async () => {
  await using w = await world();
  await make(w.backend, configMap("a"));
  const request = { ...at, name: "a" };
  await remove(w.backend, adminCall({ requestId: "d1" }), maps, request);
  const again = await remove(w.backend, adminCall({ requestId: "d1", attempt: 2 }), maps, request);
  assert.equal(again.status, "Success");
  await fails(
    remove(w.backend, adminCall({ requestId: "d2", attempt: 2 }), maps, request),
    "notFound",
    'configmaps "a" not found',
  );
  await make(w.backend, pod("p"));
  const binding = { metadata: { name: "p", namespace: "default" }, target: { name: "n" } };
  await bind(w.backend, adminCall({ requestId: "b1" }), pods, binding);
  await bind(w.backend, adminCall({ requestId: "b1", attempt: 2 }), pods, binding);
});

test("a write that lost its compare and won its second try is repeated as one write", async () => {
  await using w = await world();
  await make(w.backend, configMap("a", { k: "0" }));
  const stale = w.backend.cache.of(maps).get("/registry/configmaps/default/a");
  assert.ok(stale);
  await update(w.backend, adminCall(), maps, put(configMap("a", { k: "other" })));
  // A cache that lags behind the store, as another master's may.
  const cache = w.backend.cache.of(maps);
  const real = cache.get.bind(cache);
  cache.get = () => stale;
  const blind = put(configMap("a", { k: "mine" }));
  const first = await update(w.backend, adminCall({ requestId: "w1" }), maps, blind);
  cache.get = real;
  await update(w.backend, adminCall(), maps, put(configMap("a", { k: "later" })));
  const again = adminCall({ requestId: "w1", attempt: 2 });
  const second = await update(w.backend, again, maps, put(configMap("a", { k: "mine" })));
  assert.equal(second.revision, first.revision);
  const { document } = await get(w.backend, adminCall(), maps, { ...at, name: "a" });
  assert.deepEqual(document["data"], { k: "later" });
});

/** `revision`: of the lease as it is, for an update. */
function lease(holderIdentity: string, revision?: number): Document {
  const resourceVersion = revision === undefined ? undefined : String(revision);
  return {
    metadata: { name: "scheduler", namespace: "kube-system", resourceVersion },
    spec: { holderIdentity, leaseDurationSeconds: 15 },
  };
}

test("a new holder moves the fence, and a deposed one writes no more", async () => {
  await using w = await world();
  const first = await create(w.backend, adminCall(), leases, { body: documentBody(lease("one")) });
  const fence = { namespace: "kube-system", lease: "scheduler", token: first.revision };
  await make(w.backend, configMap("a"), adminCall({ fence }));
  const renewed = lease("one", first.revision);
  renewed["spec"] = { holderIdentity: "one", leaseDurationSeconds: 20 };
  const { revision } = await update(w.backend, adminCall(), leases, put(renewed));
  await make(w.backend, configMap("b"), adminCall({ fence }));
  const second = await update(w.backend, adminCall(), leases, put(lease("two", revision)));
  await fails(
    make(w.backend, configMap("c"), adminCall({ fence })),
    "failedPrecondition",
    `the fence of lease kube-system/scheduler has moved on: the request carries token ` +
      `${first.revision}, the store has fence ${second.revision}; leadership has passed to another`,
  );
  await fails(
    update(w.backend, adminCall({ fence }), maps, put(configMap("a", { k: "late" }))),
    "failedPrecondition",
    /has moved on/,
  );
  const present = { ...fence, token: second.revision };
  await make(w.backend, configMap("c"), adminCall({ fence: present }));
});

function addressOf(document: Document): string {
  return (document["spec"] as { clusterIP: string }).clusterIP;
}

test("cluster IPs are given, honoured, refused when taken, and free again after deletion", async () => {
  await using w = await world();
  const one = await make(w.backend, service("one"));
  assert.match(addressOf(one.document), /^127\.(3[2-9]|4[0-7])\.\d+\.\d+$/);
  const two = await make(w.backend, service("two", { clusterIP: "127.32.0.5" }));
  assert.equal(addressOf(two.document), "127.32.0.5");
  await fails(
    make(w.backend, service("three", { clusterIP: "127.32.0.5" })),
    "invalidArgument",
    'Service "three" is invalid: spec.clusterIPs: Invalid value: ["127.32.0.5"]: ' +
      "failed to allocate IP 127.32.0.5: provided IP is already allocated",
  );
  await fails(
    make(w.backend, service("three", { clusterIP: "10.0.0.1" })),
    "invalidArgument",
    /\(10\.0\.0\.1\) is not in the valid range\. The range of valid IPs is 127\.32\.0\.0\/12$/,
  );
  const headless = await make(w.backend, service("headless", { clusterIP: "None" }));
  assert.equal(addressOf(headless.document), "None");
  const kept = await update(
    w.backend,
    adminCall(),
    services,
    put(service("two", { ports: [{ port: 81 }] })),
  );
  assert.equal(addressOf(kept.document), "127.32.0.5");
  await fails(
    update(w.backend, adminCall(), services, put(service("two", { clusterIP: "127.32.0.6" }))),
    "invalidArgument",
    'Service "two" is invalid: spec.clusterIPs[0]: Invalid value: ["127.32.0.6"]: ' +
      "may not change once set",
  );
  const leading = structuredClone(kept.document);
  Object.assign(leading["spec"] as object, { type: "ExternalName", externalName: "example.com" });
  const led = await update(w.backend, adminCall(), services, put(leading));
  const { clusterIP, clusterIPs, ipFamilies } = led.document["spec"] as ServiceSpec;
  assert.deepEqual([clusterIP, clusterIPs, ipFamilies], [undefined, undefined, undefined]);
  await make(w.backend, service("three", { clusterIP: "127.32.0.5" }));
});

test("the families of addresses are those of the cluster, unless nothing here uses them", async () => {
  await using w = await world();
  const specOf = ({ document }: { document: Document }) => document["spec"] as ServiceSpec;
  const clusterIP = "None";
  const plain = specOf(
    await make(w.backend, service("plain", { clusterIP, selector: { a: "b" } })),
  );
  assert.deepEqual([plain.ipFamilyPolicy, plain.ipFamilies], ["SingleStack", ["IPv4"]]);
  const free = specOf(await make(w.backend, service("free", { clusterIP })));
  assert.deepEqual([free.ipFamilyPolicy, free.ipFamilies], ["RequireDualStack", ["IPv4", "IPv6"]]);
  const six = ["IPv6"];
  const own = { clusterIP, ipFamilies: six, ipFamilyPolicy: "SingleStack" };
  assert.deepEqual(specOf(await make(w.backend, service("own", own))).ipFamilies, six);
  const rows: [object, string][] = [
    [
      { ipFamilyPolicy: "RequireDualStack" },
      'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for ' +
        "dual-stack services",
    ],
    [
      { ipFamilies: six },
      'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
    ],
    [
      { clusterIP: "fd00::1" },
      'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster',
    ],
    [
      { ipFamilies: ["IPv4", "IPv6"], ipFamilyPolicy: "SingleStack" },
      "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or " +
        "'PreferDualStack' when multiple IP families are specified",
    ],
    [{ ipFamilies: ["IPv4", "IPv4"], ports: [] }, 'spec.ipFamilies[1]: Duplicate value: "IPv4"'],
    [
      { type: "ExternalName", externalName: "a.b", clusterIP: "127.32.0.9" },
      "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
    ],
  ];
  for (const [spec, told] of rows) {
    const text = `Service "x" is invalid: ${told}`;
    await fails(make(w.backend, service("x", spec)), "invalidArgument", text);
  }
});

test("with a range of each family, services get what their policy asks for", async () => {
  await using w = await world({ serviceRange: "127.32.0.0/12,fd00:96::/112" });
  const shown = ({ document }: { document: Document }) => {
    const { clusterIP = "", clusterIPs = [], ipFamilies } = document["spec"] as ServiceSpec;
    assert.equal(clusterIPs[0], clusterIP);
    return { families: ipFamilies, are: clusterIPs.map((ip) => (isIPv6(ip) ? "IPv6" : "IPv4")) };
  };
  const four = ["IPv4"];
  const six = ["IPv6"];
  const both = ["IPv4", "IPv6"];
  const rows: [ServiceSpec, string[]][] = [
    [{}, four],
    [{ ipFamilies: six }, six],
    [{ clusterIP: "fd00:96::7" }, six],
    [{ ipFamilyPolicy: "PreferDualStack" }, both],
    [{ ipFamilyPolicy: "RequireDualStack", ipFamilies: six }, ["IPv6", "IPv4"]],
    [{ ipFamilyPolicy: "PreferDualStack", clusterIP: "fd00:96::9" }, ["IPv6", "IPv4"]],
  ];
  for (const [i, [spec, families]] of rows.entries()) {
    const made = shown(await make(w.backend, service(`s${i}`, spec)));
    assert.deepEqual(made, { families, are: families });
  }
  const taken = (name: string, clusterIPs: string[], ipFamilyPolicy: string) =>
    make(w.backend, service(name, { clusterIP: clusterIPs[0], clusterIPs, ipFamilyPolicy }));
  await fails(
    taken("x", ["127.32.9.9", "fd00:0096::0:7"], "RequireDualStack"),
    "invalidArgument",
    'Service "x" is invalid: spec.clusterIPs: Invalid value: ["fd00:0096::0:7"]: failed to ' +
      "allocate IP fd00:0096::0:7: provided IP is already allocated",
  );
  await fails(
    taken("x", ["127.32.9.9", "fd00:97::7"], "PreferDualStack"),
    "invalidArgument",
    'Service "x" is invalid: spec.clusterIPs: Invalid value: ["fd00:97::7"]: failed to allocate ' +
      "IP fd00:97::7: the provided IP (fd00:97::7) is not in the valid range. The range of valid " +
      "IPs is fd00:96::/112",
  );
  const change = async (spec: ServiceSpec) => {
    const { document } = await get(w.backend, adminCall(), services, { ...at, name: "s0" });
    const next = { ...document, spec: { ...(document["spec"] as ServiceSpec), ...spec } };
    return update(w.backend, adminCall(), services, put(next));
  };
  const upgraded = await change({ ipFamilyPolicy: "PreferDualStack" });
  assert.deepEqual(shown(upgraded), { families: both, are: both });
  const { clusterIPs = [] } = upgraded.document["spec"] as ServiceSpec;
  assert.deepEqual(shown(await change({ ipFamilyPolicy: "SingleStack" })).are, four);
  // The second address is free again.
  await taken("again", ["127.32.9.9", clusterIPs[1] ?? ""], "RequireDualStack");
});

test("of a dual-stack service that lost a race for one address, that one alone is chosen anew", async () => {
  const picks = [5, 5, 6];
  await using w = await world({
    serviceRange: "127.32.0.0/12,fd00:96::/112",
    random: () => picks.shift() ?? 0,
  });
  await make(w.backend, service("first", { clusterIP: "fd00:96::7" }));
  const spec = { clusterIP: "127.32.0.9", ipFamilyPolicy: "RequireDualStack" };
  const { document } = await make(w.backend, service("second", spec));
  assert.deepEqual((document["spec"] as ServiceSpec).clusterIPs, ["127.32.0.9", "fd00:96::8"]);
});

const portsOf = ({ document }: { document: Document }) =>
  (document["spec"] as ServiceSpec).ports?.map(({ nodePort }) => nodePort);
const nodePort = (port: number, more: object = {}) => ({
  type: "NodePort",
  ports: [{ port: 80, nodePort: port }],
  ...more,
});

test("node ports are given, honoured, in range, unique, and free again", async () => {
  await using w = await world();
  const [given = 0] = portsOf(await make(w.backend, service("one", { type: "NodePort" }))) ?? [];
  assert.ok(given >= 30_000 && given <= 32_767, String(given));
  const wanted = given === 30_080 ? 30_081 : 30_080;
  assert.deepEqual(portsOf(await make(w.backend, service("two", nodePort(wanted)))), [wanted]);
  await fails(
    make(w.backend, service("three", nodePort(wanted))),
    "invalidArgument",
    `Service "three" is invalid: spec.ports[0].nodePort: Invalid value: ${wanted}: ` +
      "provided port is already allocated",
  );
  await fails(
    make(w.backend, service("three", nodePort(29_999))),
    "invalidArgument",
    'Service "three" is invalid: spec.ports[0].nodePort: Invalid value: 29999: ' +
      "provided port is not in the valid range. The range of valid ports is 30000-32767",
  );
  const kept = await update(
    w.backend,
    adminCall(),
    services,
    put(service("two", { type: "NodePort" })),
  );
  assert.deepEqual(portsOf(kept), [wanted], "an update that is silent keeps the port");
  const asClusterIp = structuredClone(kept.document);
  (asClusterIp["spec"] as ServiceSpec).type = "ClusterIP";
  const closed = await update(w.backend, adminCall(), services, put(asClusterIp));
  assert.deepEqual(portsOf(closed), [undefined], "a service that is exposed no more gives it back");
  assert.equal((closed.document["spec"] as ServiceSpec).externalTrafficPolicy, undefined);
  await fails(
    make(w.backend, service("three", { externalTrafficPolicy: "Local" })),
    "invalidArgument",
    /Invalid value: "Local": may only be set for externally-accessible services$/,
  );
  await make(w.backend, service("three", nodePort(wanted)));
  await remove(w.backend, adminCall(), services, { ...at, name: "three" });
  const both = [
    { name: "tcp", port: 53, protocol: "TCP" },
    { name: "udp", port: 53, protocol: "UDP" },
  ];
  const [tcp, udp] =
    portsOf(await make(w.backend, service("dns", { type: "NodePort", ports: both }))) ?? [];
  assert.equal(tcp, udp, "one number for both protocols of one port");
  await make(w.backend, service("four", nodePort(wanted)));
});

test("a load balancer that keeps traffic local gets a port for its health checks", async () => {
  await using w = await world();
  const checkOf = ({ document }: { document: Document }) =>
    (document["spec"] as ServiceSpec).healthCheckNodePort ?? 0;
  const local = { type: "LoadBalancer", externalTrafficPolicy: "Local" };
  const one = await make(w.backend, service("one", local));
  assert.ok(checkOf(one) >= 30_000 && checkOf(one) !== portsOf(one)?.[0]);
  await fails(
    make(w.backend, service("two", { ...local, healthCheckNodePort: checkOf(one) })),
    "internal",
    /^Internal error occurred: failed to allocate requested HealthCheck NodePort \d+: provided port is already allocated/,
  );
  await fails(
    make(w.backend, service("two", { healthCheckNodePort: 30_000 })),
    "invalidArgument",
    /spec\.healthCheckNodePort: Invalid value: 30000: may only be set when `type`/,
  );
  const none = { ...local, externalTrafficPolicy: "Cluster", allocateLoadBalancerNodePorts: false };
  const two = await make(w.backend, service("two", none));
  assert.deepEqual([portsOf(two), checkOf(two)], [[undefined], 0]);
});

test("services made at once get different node ports, until the range is full", async () => {
  await using w = await world({ nodePortRange: "30000-30005" });
  const other = await w.another();
  const names = Array.from({ length: 6 }, (_, index) => `s${index}`);
  const made = await Promise.all(
    names.map((name, index) =>
      make(index % 2 === 0 ? w.backend : other, service(name, { type: "NodePort" })),
    ),
  );
  assert.equal(new Set(made.flatMap(portsOf)).size, names.length);
  await fails(
    make(w.backend, service("more", { type: "NodePort" })),
    "internal",
    "Internal error occurred: failed to allocate a nodePort: range is full",
  );
});

test("services made at once get different addresses, however small the range", async () => {
  await using w = await world({ serviceRange: "127.32.0.0/28" });
  const other = await w.another();
  const names = Array.from({ length: 8 }, (_, i) => `s${i}`);
  const made = await Promise.all(
    names.map((name, i) => make(i % 2 === 0 ? w.backend : other, service(name))),
  );
  const addresses = new Set(made.map((each) => addressOf(each.document)));
  assert.equal(addresses.size, names.length);
});

test("a namespace terminates: nothing new in it, gone when it is finalized", async () => {
  await using w = await world();
  const document = { metadata: { name: "team" } };
  const made = await create(w.backend, adminCall(), namespaces, { body: documentBody(document) });
  assert.deepEqual(made.document["spec"], { finalizers: ["kubernetes"] });
  assert.deepEqual(made.document["status"], { phase: "Active" });
  assert.equal(made.document.metadata?.labels?.["kubernetes.io/metadata.name"], "team");
  await remove(w.backend, adminCall(), namespaces, { name: "team" });
  const going = await get(w.backend, adminCall(), namespaces, { name: "team" });
  assert.deepEqual(going.document["status"], { phase: "Terminating" });
  assert.ok(going.document.metadata?.deletionTimestamp);
  const error = await fails(
    make(w.backend, configMap("a", {}, { namespace: "team" })),
    "permissionDenied",
    'configmaps "a" is forbidden: unable to create new content in namespace team because it is ' +
      "being terminated",
  );
  assert.equal(error.detail?.causes?.[0]?.reason, "NamespaceTerminating");
  const empty = { metadata: { name: "team" }, spec: { finalizers: [] } };
  await finalize(w.backend, adminCall(), namespaces, { body: documentBody(empty) });
  await fails(
    get(w.backend, adminCall(), namespaces, { name: "team" }),
    "notFound",
    'namespaces "team" not found',
  );
  await fails(
    remove(w.backend, adminCall(), namespaces, { name: "default" }),
    "permissionDenied",
    'namespaces "default" is forbidden: this namespace may not be deleted',
  );
});

test("a namespace that begins to terminate under a creation is noticed in the transaction", async () => {
  await using w = await world();
  await create(w.backend, adminCall(), namespaces, {
    body: documentBody({ metadata: { name: "team" } }),
  });
  await get(w.backend, adminCall(), namespaces, { name: "team" });
  const cache = w.backend.cache.of(namespaces);
  const before = cache.get("/registry/namespaces/team");
  await remove(w.backend, adminCall(), namespaces, { name: "team" });
  const real = cache.get.bind(cache);
  cache.get = (key) => (key.endsWith("/team") ? before : real(key));
  await fails(
    make(w.backend, configMap("a", {}, { namespace: "team" })),
    "permissionDenied",
    /being terminated/,
  );
});
