import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Endpoints, Service } from "../../proto/gen/core.ts";
import { nodeOfAddress, plainAddress } from "../../services/kube-proxy/addresses.ts";
import {
  type AffinityEntry,
  AffinityTable,
  rendezvous,
} from "../../services/kube-proxy/affinity.ts";
import { Balance } from "../../services/kube-proxy/balance.ts";
import { proxyLimits } from "../../services/kube-proxy/limits.ts";
import { desiredRules, diffRules, type Rule } from "../../services/kube-proxy/rules.ts";

const n1 = new Set(["n1"]);
const scope = { nodeIP: "127.0.0.7", nodesHere: n1, nodesAtAddress: n1 };
const context = { affinity: new AffinityTable(), nodeOfAddress: () => undefined };

function service(spec: Service["spec"], name = "web"): Service {
  return { metadata: { namespace: "d", name }, spec: { clusterIP: "127.32.0.5", ...spec } };
}
function endpoints(subsets: Endpoints["subsets"], name = "web"): Endpoints {
  return { metadata: { namespace: "d", name }, subsets };
}
const ready = endpoints([
  {
    addresses: [
      { ip: "127.64.0.2", nodeName: "n2" },
      { ip: "127.64.0.1", nodeName: "n1" },
    ],
    notReadyAddresses: [{ ip: "127.64.0.9" }],
    ports: [
      { name: "http", port: 8080, protocol: "TCP" },
      { name: "dns", port: 5353, protocol: "UDP" },
    ],
  },
]);
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
    test(name, () => assert.deepEqual(show(desiredRules([one], [ready], scope)), expected));
  }

  test("Local counts every node of the machine, a node port those of its address", () => {
    const both = { ...scope, nodesHere: new Set(["n1", "n2"]) };
    const one = service({
      type: "NodePort",
      internalTrafficPolicy: "Local",
      externalTrafficPolicy: "Local",
      ports: [{ ...http, nodePort: 30080 }],
    });
    assert.deepEqual(show(desiredRules([one], [ready], both)), [
      "TCP 127.32.0.5:80 -> 127.64.0.1:8080,127.64.0.2:8080",
      "TCP 127.0.0.7:30080 -> 127.64.0.1:8080",
    ]);
    const nowhere = { ...scope, nodesHere: new Set(["n3"]), nodesAtAddress: new Set(["n3"]) };
    assert.deepEqual(show(desiredRules([one], [ready], nowhere)), []);
  });

  test("two services on one address: the first name wins", () => {
    const rules = desiredRules(
      [service({ ports: [http] }, "web"), service({ ports: [http] }, "api")],
      [ready, endpoints(ready.subsets, "api")],
      scope,
    );
    assert.deepEqual(
      [...rules.values()].map((rule) => rule.service),
      ["api"],
    );
  });

  test("differences", () => {
    const one = desiredRules([service({ ports: [http] })], [ready], scope);
    const sticky = desiredRules(
      [service({ ports: [http], sessionAffinity: "ClientIP" })],
      [ready],
      scope,
    );
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
  ]);
  const rows = ["127.64.1.7", "127.64.2.7", "127.65.9.9", "127.0.0.3", "127.0.0.1", "::1", ""];
  assert.deepEqual(rows.map(of), ["n1", "n2", "n3", "n3", undefined, undefined, undefined]);
  assert.equal(plainAddress("::ffff:127.0.0.1"), "127.0.0.1");
  assert.equal(plainAddress("::1"), "::1");
});
