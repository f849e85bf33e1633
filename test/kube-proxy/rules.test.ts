import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Service } from "../../proto/gen/core.ts";
import type { Endpoint, EndpointSlice } from "../../proto/gen/discovery.ts";
import { nodeOfAddress, plainAddress } from "../../services/kube-proxy/addresses.ts";
import {
  type AffinityEntry,
  AffinityTable,
  rendezvous,
} from "../../services/kube-proxy/affinity.ts";
import { Balance } from "../../services/kube-proxy/balance.ts";
import { proxyLimits } from "../../services/kube-proxy/limits.ts";
import { routesOf } from "../../services/kube-proxy/routes.ts";
import {
  desiredRules,
  diffRules,
  type Rule,
  type RuleScope,
} from "../../services/kube-proxy/rules.ts";

const n1 = new Set(["n1"]);
const scope: RuleScope = {
  nodeIP: "127.0.0.7",
  nodesHere: n1,
  nodesAtAddress: n1,
  place: { node: "n1", zone: "z1" },
  isOwn: (address) => address.startsWith("127."),
};
const context = { affinity: new AffinityTable(), nodeOfAddress: () => undefined };

function service(spec: Service["spec"], name = "web"): Service {
  return { metadata: { namespace: "d", name }, spec: { clusterIP: "127.32.0.5", ...spec } };
}
function slice(endpoints: readonly Endpoint[]): EndpointSlice {
  const ports = [
    { name: "http", port: 8080, protocol: "TCP" },
    { name: "dns", port: 5353, protocol: "UDP" },
  ];
  return { addressType: "IPv4", endpoints: [...endpoints], ports };
}
const ready = slice([
  { addresses: ["127.64.0.2"], nodeName: "n2", conditions: { ready: true } },
  { addresses: ["127.64.0.1"], nodeName: "n1" },
  { addresses: ["127.64.0.9"], nodeName: "n1", conditions: { ready: false } },
]);
const rulesFor = (services: readonly Service[], slices: readonly EndpointSlice[], where = scope) =>
  desiredRules(
    services.flatMap((one) => routesOf(one, slices)),
    where,
  );
const show = (rules: ReadonlyMap<string, Rule>) =>
  [...rules.values()].map(
    (rule) => `${rule.key} -> ${rule.targets.map(({ ip, port }) => `${ip}:${port}`).join(",")}`,
  );

describe("kube-proxy rules", () => {
  const http = { name: "http", port: 80 };
  const table: [string, Service, string[]][] = [
    [
      "ports are joined by name; only ready addresses count",
      service({ ports: [http, { name: "dns", port: 53, protocol: "UDP" }] }),
      [
        "TCP 127.32.0.5:80 -> 127.64.0.1:8080,127.64.0.2:8080",
        "UDP 127.32.0.5:53 -> 127.64.0.1:5353,127.64.0.2:5353",
      ],
    ],
    ["a port without endpoints has no rule", service({ ports: [{ name: "other", port: 81 }] }), []],
    ["headless", service({ clusterIP: "None", ports: [http] }), []],
    ["no address yet", service({ clusterIP: "", ports: [http] }), []],
    ["external name", service({ type: "ExternalName", ports: [http] }), []],
    ["SCTP is not proxied", service({ ports: [{ ...http, protocol: "SCTP" }] }), []],
    [
      "node port and external IP",
      service({
        type: "NodePort",
        externalIPs: ["127.1.1.1"],
        externalTrafficPolicy: "Local",
        ports: [{ ...http, nodePort: 30080 }],
      }),
      [
        "TCP 127.32.0.5:80 -> 127.64.0.1:8080,127.64.0.2:8080",
        "TCP 127.1.1.1:80 -> 127.64.0.1:8080",
        "TCP 127.0.0.7:30080 -> 127.64.0.1:8080",
      ],
    ],
    [
      "internal traffic stays on the node",
      service({ internalTrafficPolicy: "Local", ports: [http] }),
      ["TCP 127.32.0.5:80 -> 127.64.0.1:8080"],
    ],
  ];
  for (const [name, one, expected] of table) {
    test(name, () => assert.deepEqual(show(rulesFor([one], [ready])), expected));
  }

  test("Local counts every node of the machine, a node port those of its address", () => {
    const both = { ...scope, nodesHere: new Set(["n1", "n2"]) };
    const one = service({
      type: "NodePort",
      internalTrafficPolicy: "Local",
      externalTrafficPolicy: "Local",
      ports: [{ ...http, nodePort: 30080 }],
    });
    assert.deepEqual(show(rulesFor([one], [ready], both)), [
      "TCP 127.32.0.5:80 -> 127.64.0.1:8080,127.64.0.2:8080",
      "TCP 127.0.0.7:30080 -> 127.64.0.1:8080",
    ]);
    const nowhere = { ...scope, nodesHere: new Set(["n3"]), nodesAtAddress: new Set(["n3"]) };
    assert.deepEqual(show(rulesFor([one], [ready], nowhere)), []);
  });

  const terminating = (ip: string, nodeName: string, serving: boolean): Endpoint => ({
    addresses: [ip],
    nodeName,
    conditions: { ready: false, serving, terminating: true },
  });
  const policies = { internalTrafficPolicy: "Local", externalTrafficPolicy: "Local" };
  const endpointRows: [string, Service["spec"], Endpoint[], string[]][] = [
    [
      "endpoints that terminate serve while there is no ready one",
      {},
      [terminating("127.64.0.1", "n1", true), terminating("127.64.0.2", "n2", false)],
      ["127.64.0.1"],
    ],
    [
      "and no longer",
      {},
      [terminating("127.64.0.1", "n1", true), { addresses: ["127.64.0.3"], nodeName: "n2" }],
      ["127.64.0.3"],
    ],
    [
      "policy Local: of the node, though others are ready elsewhere",
      policies,
      [terminating("127.64.0.1", "n1", true), { addresses: ["127.64.0.3"], nodeName: "n2" }],
      ["127.64.0.1"],
    ],
    [
      "hints for the zone",
      {},
      [
        { addresses: ["127.64.0.1"], hints: { forZones: [{ name: "z1" }] } },
        { addresses: ["127.64.0.2"], hints: { forZones: [{ name: "z2" }] } },
      ],
      ["127.64.0.1"],
    ],
    [
      "hints for the node come first",
      {},
      ["n1", "n2"].map((name, i) => ({
        addresses: [`127.64.0.${i}`],
        hints: { forZones: [{ name: "z1" }], forNodes: [{ name }] },
      })),
      ["127.64.0.0"],
    ],
    [
      "hints that one endpoint lacks count for none",
      {},
      [
        { addresses: ["127.64.0.1"], hints: { forZones: [{ name: "z1" }] } },
        { addresses: ["127.64.0.2"] },
      ],
      ["127.64.0.1", "127.64.0.2"],
    ],
    [
      "hints for other zones alone count for none",
      {},
      [{ addresses: ["127.64.0.2"], hints: { forZones: [{ name: "z2" }] } }],
      ["127.64.0.2"],
    ],
  ];
  for (const [name, spec, endpoints, expected] of endpointRows) {
    test(name, () => {
      const [rule] = rulesFor([service({ ports: [http], ...spec })], [slice(endpoints)]).values();
      assert.deepEqual(
        rule?.targets.map(({ ip }) => ip),
        expected,
      );
    });
  }

  test("addresses of balancers that the machine has, for the clients they are for", () => {
    const one: Service = {
      ...service({ type: "LoadBalancer", ports: [http], loadBalancerSourceRanges: ["10.0.0.0/8"] }),
      status: {
        loadBalancer: {
          ingress: [{ ip: "127.2.2.2" }, { ip: "192.0.2.1" }, { ip: "127.3.3.3", ipMode: "Proxy" }],
        },
      },
    };
    const rules = rulesFor([one], [ready]);
    assert.deepEqual([...rules.keys()], ["TCP 127.32.0.5:80", "TCP 127.2.2.2:80"]);
    const balanced = rules.get("TCP 127.2.2.2:80");
    assert.ok(balanced);
    const balance = new Balance(balanced, 0, context);
    assert.equal(balance.order("10.1.2.3", 0).length, 2);
    assert.equal(balance.order("192.0.2.9", 0).length, 0);
    assert.equal(balance.order("::1", 0).length, 0);
  });

  test("a service of another proxy is left to it", () => {
    const labels = { "service.kubernetes.io/service-proxy-name": "other" };
    const one = service({ ports: [http] });
    const theirs = { ...one, metadata: { ...one.metadata, labels } };
    assert.equal(rulesFor([theirs], [ready]).size, 0);
  });

  test("ten thousand endpoints", () => {
    const many = Array.from({ length: 10_000 }, (_, i) => ({
      addresses: [`127.${64 + (i >> 16)}.${i >> 8}.${i & 255}`],
    }));
    const [rule] = rulesFor([service({ ports: [http] })], [slice(many)]).values();
    assert.equal(rule?.targets.length, 10_000);
  });

  test("two services on one address: the first name wins", () => {
    const both = [service({ ports: [http] }, "web"), service({ ports: [http] }, "api")];
    const rules = rulesFor(both, [ready]);
    assert.deepEqual(
      [...rules.values()].map((rule) => rule.service),
      ["api"],
    );
  });

  test("differences", () => {
    const one = rulesFor([service({ ports: [http] })], [ready]);
    const sticky = rulesFor([service({ ports: [http], sessionAffinity: "ClientIP" })], [ready]);
    assert.deepEqual(diffRules(new Map(), one).open, [...one.values()]);
    assert.deepEqual(diffRules(one, one), { open: [], update: [], close: [] });
    assert.deepEqual(diffRules(one, sticky).update, [...sticky.values()]);
    assert.deepEqual(diffRules(one, new Map()).close, ["TCP 127.32.0.5:80"]);
    const [rule] = sticky.values();
    assert.equal(rule?.affinitySeconds, proxyLimits.affinitySecondsDefault);
  });
});

describe("kube-proxy balance", () => {
  const rule = (ips: string[], affinitySeconds?: number): Rule => ({
    key: "TCP 127.32.0.5:80",
    protocol: "TCP",
    ip: "127.32.0.5",
    port: 80,
    targets: ips.map((ip) => ({ ip, port: 1 })),
    perClientNode: false,
    sourceRanges: undefined,
    affinitySeconds,
    affinityKey: "d/web:http",
    namespace: "d",
    service: "web",
  });
  const firsts = (balance: Balance, client: string, now: number) =>
    balance.order(client, now)[0]?.ip;

  test("round robin, and every endpoint is a fallback up to a bound", () => {
    const balance = new Balance(rule(["a", "b", "c"]), 1, context);
    assert.deepEqual(
      [0, 1, 2, 3].map(() => firsts(balance, "x", 0)),
      ["b", "c", "a", "b"],
    );
    assert.deepEqual(
      balance.order("x", 0).map(({ ip }) => ip),
      ["c", "a", "b"],
    );
    const many = new Balance(rule(Array.from("abcdefgh")), 0, context);
    assert.equal(many.order("x", 0).length, proxyLimits.attemptsMax);
  });

  test("a client stays with its endpoint until the endpoint's end, and the timeout is counted", () => {
    const affinity = new AffinityTable();
    const one = new Balance(rule(Array.from("abcdefgh"), 10), 0, { ...context, affinity });
    const reach = (client: string, now: number) => {
      const [target] = one.order(client, now);
      assert.ok(target);
      one.chosen(client, target, now);
      return target.ip;
    };
    const first = reach("x", 0);
    assert.deepEqual(
      [5_000, 15_000, 25_000].map((now) => reach("x", now)),
      [first, first, first],
    );
    one.update(rule(["i", first, "j", "k", "l", "m"], 10));
    assert.equal(reach("x", 30_000), first, "new endpoints take no client away");
    one.update(rule(["i", "j", "k", "l", "m"], 10));
    const second = reach("x", 30_000);
    assert.notEqual(second, first);
    assert.equal(reach("x", 40_000), second, "the timeout counts from the last connection");
    // After each timeout the choice is made anew: it does not stay the same for ever.
    const later = Array.from({ length: 20 }, (_, index) => reach("x", 51_000 + index * 11_000));
    assert.ok(new Set(later).size > 1, later.join());
  });

  test("proxies that never spoke agree about a client, and clients are spread", () => {
    const seen = new Map<string, number>();
    for (let index = 0; index < 300; index++) {
      const [a, b] = [0, 1].map((start) => {
        const table = { ...context, affinity: new AffinityTable() };
        return firsts(new Balance(rule(["a", "b", "c"], 10), start, table), `10.0.0.${index}`, 0);
      });
      assert.equal(a, b);
      seen.set(a ?? "", (seen.get(a ?? "") ?? 0) + 1);
    }
    for (const ip of ["a", "b", "c"])
      assert.ok((seen.get(ip) ?? 0) > 60, JSON.stringify([...seen]));
  });

  test("what one proxy chose, the others know", () => {
    const told: AffinityEntry[] = [];
    const tables = [new AffinityTable((entry) => told.push(entry)), new AffinityTable()];
    const [one, two] = tables.map(
      (affinity) => new Balance(rule(["a", "b"], 10), 0, { ...context, affinity }),
    );
    const other = firsts(one!, "x", 0) === "a" ? "b" : "a";
    one!.chosen("x", { ip: other, port: 1 }, 0);
    for (const entry of told) tables[1]!.learn(entry, 0);
    assert.equal(firsts(two!, "x", 0), other);
    assert.deepEqual([...tables[0]!.entries()], [...tables[1]!.entries()]);
    one!.chosen("x", { ip: other, port: 1 }, 10);
    assert.equal(told.length, 1, "the same choice is not told at every connection");
    one!.chosen("x", { ip: other, port: 1 }, 5_000);
    assert.equal(told.length, 2);
  });

  test("when an endpoint goes, only its clients move", () => {
    const before = rendezvous("seed", ["a", "b", "c"]);
    assert.deepEqual(rendezvous("seed", ["c", "b", "a"]), before);
    const without = rendezvous("seed", before.slice(1));
    assert.deepEqual(without, before.slice(1));
  });

  test("internal traffic stays on the node of the client, if it has one", () => {
    const targets = [
      { ip: "a", port: 1, node: "n1" },
      { ip: "b", port: 1, node: "n2" },
    ];
    const local = { ...rule([]), targets, perClientNode: true };
    const nodes = new Map([
      ["127.64.2.9", "n2"],
      ["127.64.3.9", "n3"],
    ]);
    const balance = new Balance(local, 0, { ...context, nodeOfAddress: (ip) => nodes.get(ip) });
    const all = (client: string) => balance.order(client, 0).map(({ ip }) => ip);
    assert.deepEqual(all("127.64.2.9"), ["b"]);
    assert.deepEqual(all("127.64.3.9"), [], "its node has none");
    assert.deepEqual(all("127.0.0.1").sort(), ["a", "b"], "the machine is every node");
  });
});

test("which node an address belongs to", () => {
  const node = (name: string, podCIDR: string, address: string) => ({
    metadata: { name },
    spec: { podCIDR },
    status: { addresses: [{ type: "InternalIP", address }] },
  });
  const of = nodeOfAddress([
    node("n1", "127.64.1.0/24", "127.0.0.1"),
    node("n2", "127.64.2.0/24", "127.0.0.1"),
    node("n3", "127.65.0.0/16", "127.0.0.3"),
    { metadata: { name: "bare" } },
    {
      metadata: { name: "dual" },
      spec: { podCIDR: "127.66.0.0/24", podCIDRs: ["127.66.0.0/24", "fd00:64:0:1::/64"] },
    },
  ]);
  assert.deepEqual(["127.66.0.1", "fd00:64:0:1::9", "fd00:64:0:2::9", "fe80::1%lo"].map(of), [
    "dual",
    "dual",
    undefined,
    undefined,
  ]);
  const rows = ["127.64.1.7", "127.64.2.7", "127.65.9.9", "127.0.0.3", "127.0.0.1", "::1", ""];
  assert.deepEqual(rows.map(of), ["n1", "n2", "n3", "n3", undefined, undefined, undefined]);
  assert.equal(plainAddress("::ffff:127.0.0.1"), "127.0.0.1");
  assert.equal(plainAddress("::1"), "::1");
});
