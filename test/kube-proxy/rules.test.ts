import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Endpoints, Service } from "../../proto/gen/core.ts";
import { Balance } from "../../services/kube-proxy/balance.ts";
import { proxyLimits } from "../../services/kube-proxy/limits.ts";
import { desiredRules, diffRules, type Rule } from "../../services/kube-proxy/rules.ts";

const scope = { nodeIP: "127.0.0.7", nodeName: "n1" };

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
    affinitySeconds,
    namespace: "d",
    service: "web",
  });
  const firsts = (balance: Balance, client: string, now: number) =>
    balance.order(client, now)[0]?.ip;

  test("round robin, and every endpoint is a fallback up to a bound", () => {
    const balance = new Balance(rule(["a", "b", "c"]), 1);
    assert.deepEqual(
      [0, 1, 2, 3].map(() => firsts(balance, "x", 0)),
      ["b", "c", "a", "b"],
    );
    assert.deepEqual(
      balance.order("x", 0).map(({ ip }) => ip),
      ["c", "a", "b"],
    );
    const many = new Balance(rule([..."abcdefgh"]), 0);
    assert.equal(many.order("x", 0).length, proxyLimits.attemptsMax);
  });

  test("a client stays with its endpoint until the timeout or the endpoint's end", () => {
    const balance = new Balance(rule(["a", "b"], 10), 0);
    balance.chosen("x", { ip: "b", port: 1 }, 0);
    assert.deepEqual(
      [0, 5_000, 10_000].map((now) => firsts(balance, "x", now)),
      ["b", "b", "b"],
    );
    balance.chosen("x", { ip: "b", port: 1 }, 10_000);
    assert.equal(firsts(balance, "x", 20_000), "b");
    balance.update(rule(["a"], 10));
    assert.equal(firsts(balance, "x", 20_000), "a");
    const late = new Balance(rule(["a", "b"], 10), 0);
    late.chosen("x", { ip: "b", port: 1 }, 0);
    assert.equal(firsts(late, "x", 10_001), "a");
  });
});
