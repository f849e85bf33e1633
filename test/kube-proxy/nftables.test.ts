import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Service } from "../../proto/gen/core.ts";
import type { Endpoint, EndpointSlice } from "../../proto/gen/discovery.ts";
import {
  type ChainScope,
  type Flow,
  type RouteRules,
  rulesOfRoute,
} from "../../services/kube-proxy/nftables/chains.ts";
import { conntrackArguments, staleFlows } from "../../services/kube-proxy/nftables/flows.ts";
import { LiveTable } from "../../services/kube-proxy/nftables/live-table.ts";
import { NftablesProxy } from "../../services/kube-proxy/nftables/mod.ts";
import { NftablesMode } from "../../services/kube-proxy/nftables/mode.ts";
import type { ProgramResult } from "../../services/kube-proxy/nftables/programs.ts";
import {
  difference,
  removal,
  type TableState,
  wholeTable,
} from "../../services/kube-proxy/nftables/table.ts";
import { type Route, routesOf } from "../../services/kube-proxy/routes.ts";
import { FakeClock, silent } from "../kubelet/support.ts";

const scope: ChainScope = {
  place: { node: "n1", zone: undefined },
  nodesHere: new Set(["n1"]),
  clusterRange: "10.244.0.0/16",
};

function slice(...endpoints: Endpoint[]): EndpointSlice {
  return { addressType: "IPv4", endpoints, ports: [{ name: "", port: 8080, protocol: "TCP" }] };
}
const here: Endpoint = { addresses: ["10.244.1.2"], nodeName: "n1" };
const there: Endpoint = { addresses: ["10.244.2.2"], nodeName: "n2" };

function routes(
  spec: Service["spec"],
  slices: EndpointSlice[],
  status?: Service["status"],
): readonly Route[] {
  const base = { clusterIP: "10.96.0.5", ports: [{ port: 80, nodePort: 30_080 }] };
  return routesOf(
    { metadata: { namespace: "d", name: "web" }, spec: { ...base, ...spec }, status },
    slices,
  );
}

/** As text, without the digest that begins each name. */
function shown(rules: readonly RouteRules[]): string[] {
  const plain = (text: string) => text.replaceAll(/-[0-9A-F]{8}-d\//g, "-");
  return rules.flatMap(({ chains, sets, elements }) => [
    ...[...sets].map(([name, definition]) => plain(`set ${name} ${definition}`)),
    ...[...chains].flatMap(([name, list]) => list.map((rule) => plain(`${name}: ${rule}`))),
    ...elements
      .filter(({ set }) => set !== "hairpin-connections" && set !== "cluster-ips")
      .map(({ set, key, value }) => plain(`@${set} ${key} : ${value}`)),
  ]);
}

const fromOutside =
  "service-web/tcp/80: ip daddr 10.96.0.5 tcp dport 80 ip saddr != 10.244.0.0/16 " +
  "jump mark-for-masquerade";
const byChance =
  "service-web/tcp/80: meta l4proto tcp dnat ip to numgen random mod 2 map " +
  "{ 0 : 10.244.1.2 . 8080, 1 : 10.244.2.2 . 8080 }";

describe("rules of nftables", () => {
  const nodePort = { type: "NodePort" };
  const rows: [string, Service["spec"], EndpointSlice[], string[]][] = [
    [
      "a cluster IP",
      {},
      [slice(here, there)],
      [fromOutside, byChance, "@service-ips 10.96.0.5 . tcp . 80 : goto service-web/tcp/80"],
    ],
    [
      "one endpoint needs no chance",
      {},
      [slice(there)],
      [
        fromOutside,
        "service-web/tcp/80: meta l4proto tcp dnat ip to 10.244.2.2:8080",
        "@service-ips 10.96.0.5 . tcp . 80 : goto service-web/tcp/80",
      ],
    ],
    [
      "no endpoint: refused",
      nodePort,
      [],
      [
        "@no-endpoint-services 10.96.0.5 . tcp . 80 : goto reject-chain",
        "@no-endpoint-nodeports tcp . 30080 : goto reject-chain",
      ],
    ],
    [
      "a node port and an external address hide their clients",
      { ...nodePort, externalIPs: ["192.0.2.1", "2001:db8::1"] },
      [slice(here, there)],
      [
        fromOutside,
        byChance,
        "external-web/tcp/80: jump mark-for-masquerade",
        "external-web/tcp/80: goto service-web/tcp/80",
        "@service-ips 10.96.0.5 . tcp . 80 : goto service-web/tcp/80",
        "@service-ips 192.0.2.1 . tcp . 80 : goto external-web/tcp/80",
        "@service-nodeports tcp . 30080 : goto external-web/tcp/80",
      ],
    ],
    [
      "with externalTrafficPolicy Local they do not, for endpoints of this node",
      { ...nodePort, externalTrafficPolicy: "Local" },
      [slice(here, there)],
      [
        fromOutside,
        byChance,
        "local-web/tcp/80: meta l4proto tcp dnat ip to 10.244.1.2:8080",
        "external-web/tcp/80: ip saddr 10.244.0.0/16 goto service-web/tcp/80",
        "external-web/tcp/80: fib saddr type local jump mark-for-masquerade",
        "external-web/tcp/80: fib saddr type local goto service-web/tcp/80",
        "external-web/tcp/80: goto local-web/tcp/80",
        "@service-ips 10.96.0.5 . tcp . 80 : goto service-web/tcp/80",
        "@service-nodeports tcp . 30080 : goto external-web/tcp/80",
      ],
    ],
    [
      "and what comes to a node without one is dropped",
      { ...nodePort, externalTrafficPolicy: "Local" },
      [slice(there)],
      [
        fromOutside,
        "service-web/tcp/80: meta l4proto tcp dnat ip to 10.244.2.2:8080",
        "external-web/tcp/80: ip saddr 10.244.0.0/16 goto service-web/tcp/80",
        "external-web/tcp/80: fib saddr type local jump mark-for-masquerade",
        "external-web/tcp/80: fib saddr type local goto service-web/tcp/80",
        "@service-ips 10.96.0.5 . tcp . 80 : goto service-web/tcp/80",
        "@service-nodeports tcp . 30080 : goto external-web/tcp/80",
        "@no-endpoint-nodeports tcp . 30080 : drop",
      ],
    ],
    [
      "internalTrafficPolicy Local",
      { internalTrafficPolicy: "Local" },
      [slice(here, there)],
      [
        "local-web/tcp/80: meta l4proto tcp dnat ip to 10.244.1.2:8080",
        "@service-ips 10.96.0.5 . tcp . 80 : goto local-web/tcp/80",
      ],
    ],
    [
      "which drops where there is no endpoint",
      { internalTrafficPolicy: "Local" },
      [slice(there)],
      ["@no-endpoint-services 10.96.0.5 . tcp . 80 : drop"],
    ],
  ];
  for (const [name, spec, slices, expected] of rows) {
    test(name, () => {
      const rules = routes(spec, slices).map((route) => rulesOfRoute(route, scope));
      assert.deepEqual(shown(rules), expected);
    });
  }

  test("affinity: a client's endpoint is remembered for its time", () => {
    const spec = {
      sessionAffinity: "ClientIP",
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
    };
    const rules = routes(spec, [slice(here, there)]).map((route) => rulesOfRoute(route, scope));
    const text = shown(rules);
    const one = "web/tcp/80__10.244.1.2/8080";
    assert.deepEqual(
      [text[0], ...text.filter((line) => line.startsWith(`endpoint-${one}`))],
      [
        `set affinity-${one} { type ipv4_addr ; flags dynamic,timeout ; timeout 60s ; size 65535 ; }`,
        `endpoint-${one}: update @affinity-${one} { ip saddr }`,
        `endpoint-${one}: meta l4proto tcp dnat ip to 10.244.1.2:8080`,
      ],
    );
    assert.ok(text.includes(`service-web/tcp/80: ip saddr @affinity-${one} goto endpoint-${one}`));
  });

  test("balancers' addresses, for some clients only", () => {
    const spec = {
      type: "LoadBalancer",
      loadBalancerSourceRanges: ["198.51.100.0/24", "nonsense"],
    };
    const status = { loadBalancer: { ingress: [{ ip: "192.0.2.9" }] } };
    const rules = routes(spec, [slice(here)], status).map((route) => rulesOfRoute(route, scope));
    const text = shown(rules);
    assert.ok(
      text.includes("firewall-web/tcp/80: ip saddr != { 198.51.100.0/24 } jump firewall-drop"),
    );
    assert.ok(text.includes("@firewall-ips 192.0.2.9 . tcp . 80 : goto firewall-web/tcp/80"));
    assert.ok(text.includes("@service-ips 192.0.2.9 . tcp . 80 : goto external-web/tcp/80"));
  });

  test("ten thousand endpoints are one rule", () => {
    const many = Array.from({ length: 10_000 }, (_, i) => ({
      addresses: [`10.244.${i >> 8}.${i & 255}`],
    }));
    const [rules] = routes({}, [slice(...many)]).map((route) => rulesOfRoute(route, scope));
    assert.equal([...(rules?.chains.values() ?? [])].flat().length, 2);
  });
});

describe("the table of nftables", () => {
  const state = (spec: Service["spec"], ...endpoints: Endpoint[]) =>
    stateOf(routes(spec, [slice(...endpoints)]).map((route) => rulesOfRoute(route, scope)));
  function stateOf(all: readonly RouteRules[]): TableState {
    const table = new LiveTable();
    for (const rules of all) table.add(rules);
    return table.view(all);
  }

  test("is replaced whole at first", () => {
    const text = wholeTable(state({}, here), ["192.0.2.7"], "IPv4");
    assert.match(text, /^add table ip kube-proxy\ndelete table ip kube-proxy\nadd table/);
    assert.match(text, /add element ip kube-proxy nodeport-ips \{ 192\.0\.2\.7 \}/);
    assert.match(text, /add element ip kube-proxy service-ips \{ 10\.96\.0\.5 \. tcp \. 80 : goto/);
  });

  test("then only what differs", () => {
    const one = state({}, here);
    assert.equal(difference(one, state({}, here), "IPv4").text, "");
    const { text, left } = difference(one, state({}, here, there), "IPv4");
    const chain = [...one.chains.keys()].join("");
    assert.deepEqual(text.trim().split("\n"), [
      `flush chain ip kube-proxy ${chain}`,
      ...[...state({}, here, there).chains.values()]
        .flat()
        .map((rule) => `add rule ip kube-proxy ${chain} ${rule}`),
      "add element ip kube-proxy hairpin-connections { 10.244.2.2 . 10.244.2.2 }",
    ]);
    assert.deepEqual(left, { chains: [], sets: [] });
  });

  test("of two services with one address the first has it, and the other when that one goes", () => {
    const named = (name: string) => {
      const spec = { clusterIP: "10.96.0.9", ports: [{ port: 80 }] };
      const [route] = routesOf({ metadata: { namespace: "d", name }, spec }, [slice(here)]);
      assert.ok(route);
      return rulesOfRoute(route, scope);
    };
    const [one, two] = [named("one"), named("two")];
    const table = new LiveTable();
    table.add(one);
    table.add(two);
    const holder = () => table.view([one, two]).elements.get("service-ips 10.96.0.9 . tcp . 80");
    assert.match(holder()?.value ?? "", /d\/one/);
    table.remove(one);
    assert.match(holder()?.value ?? "", /d\/two/);
    table.remove(two);
    assert.equal(table.view([one, two]).elements.size, 0);
  });

  test("a chain that nothing leads to is emptied, and deleted later", () => {
    const { text, left } = difference(state({}, here), state({}), "IPv4");
    const [chain = ""] = left.chains;
    assert.match(text, /delete element ip kube-proxy service-ips \{ 10\.96\.0\.5 \. tcp \. 80 \}/);
    assert.match(text, /add element ip kube-proxy no-endpoint-services/);
    assert.ok(text.endsWith(`flush chain ip kube-proxy ${chain}\n`));
    assert.equal(removal(left, "IPv4"), `delete chain ip kube-proxy ${chain}\n`);
  });

  test("affinity for another time is another set", () => {
    const sticky = (timeoutSeconds: number) =>
      state(
        { sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds } } },
        here,
      );
    const lines = difference(sticky(60), sticky(90), "IPv4").text.split("\n");
    const [set] = sticky(60).sets.keys();
    const chain = set?.replace("affinity", "endpoint");
    assert.equal(lines[0], `flush chain ip kube-proxy ${chain}`);
    assert.equal(lines[1], `delete set ip kube-proxy ${set}`);
    assert.match(lines[2] ?? "", /^add set .* timeout 90s/);
    assert.ok(lines.some((line) => line.startsWith(`add rule ip kube-proxy ${chain} update @`)));
  });
});

describe("the proxy over nft", () => {
  function proxy(answer: (input: string) => Partial<ProgramResult> = () => ({})) {
    const inputs: string[] = [];
    const commands: string[] = [];
    const clock = new FakeClock();
    const made = new NftablesProxy({
      run: (name, args, input) => {
        if (name === "nft") inputs.push(input);
        else commands.push([name, ...args].join(" "));
        return Promise.resolve({ code: 0, stderr: "", ...answer(input) });
      },
      ...{ family: "IPv4", clock, log: silent, nodePortAddresses: [] },
    });
    return { made, inputs, commands, clock };
  }

  test("loads everything once, then differences, and tidies after a while", async () => {
    const { made, inputs, clock } = proxy();
    await made.apply(routes({}, [slice(here)]), scope);
    await made.apply(routes({}, [slice(here)]), scope);
    assert.equal(inputs.length, 1);
    await made.apply([], scope);
    assert.match(inputs[1] ?? "", /flush chain/);
    await clock.advance(1_000);
    await made.close();
    assert.match(inputs[2] ?? "", /^delete chain/);
    assert.equal(made.transactions, 3);
  });

  test("after a refusal everything is loaded again", async () => {
    let refuse = false;
    const { made, inputs, clock } = proxy(() =>
      refuse ? { code: 1, stderr: "no such file" } : {},
    );
    await made.apply([], scope);
    refuse = true;
    await made.apply(routes({}, [slice(here)]), scope);
    refuse = false;
    await clock.advance(1_000);
    await made.close();
    assert.equal(inputs.length, 3);
    assert.match(inputs[2] ?? "", /^add table ip kube-proxy\ndelete table/);
  });

  test("what the kernel remembers of datagrams to a gone endpoint is deleted", async () => {
    const { made, commands } = proxy();
    const udp = (...endpoints: Endpoint[]): readonly Route[] =>
      routes({ ports: [{ port: 53, protocol: "UDP" }] }, [
        { ...slice(...endpoints), ports: [{ name: "", port: 53, protocol: "UDP" }] },
      ]);
    await made.apply(udp(here), scope);
    await made.apply(udp(there), scope);
    const deleted = "conntrack -D -f ipv4 -p udp --orig-dst 10.96.0.5 --orig-port-dst 53";
    assert.deepEqual(commands, [deleted, `${deleted} --dst-nat 10.244.1.2`]);
  });

  test("which flows are stale", () => {
    const flow = (port: number, ...endpoints: string[]): [string, Flow] => [
      `node:${port}`,
      { ip: undefined, port, endpoints },
    ];
    const before = new Map([flow(1, "a", "b"), flow(2), flow(3, "a")]);
    const after = new Map([flow(1, "b", "c"), flow(2, "d")]);
    const ip = undefined;
    assert.deepEqual(staleFlows(before, after), [
      { ip, port: 1, endpoint: "a" },
      { ip, port: 3, endpoint: "a" },
      { ip, port: 2, endpoint: undefined },
    ]);
    assert.deepEqual(conntrackArguments({ ip, port: 2, endpoint: undefined }, "IPv4"), [
      ...["-D", "-f", "ipv4", "-p", "udp", "--orig-port-dst", "2"],
    ]);
  });
});

test("an address that the node serves itself has no rules", async () => {
  const inputs: string[] = [];
  const mode = new NftablesMode({
    run: (_, __, input) => {
      inputs.push(input);
      return Promise.resolve({ code: 0, stderr: "" });
    },
    ...{ clock: new FakeClock(), log: silent, nodePortAddresses: [], nodeName: "n1" },
    ...{ families: ["IPv4"], clusterRanges: [], ownAddresses: ["127.32.0.10"] },
  });
  await mode.start();
  const dns = routes({ clusterIP: "127.32.0.10" }, []);
  await mode.apply([...dns, ...routes({}, [])], () => undefined);
  await mode.close();
  assert.equal(inputs.length, 1);
  assert.match(inputs[0] ?? "", /no-endpoint-services \{ 10\.96\.0\.5/);
  assert.doesNotMatch(inputs[0] ?? "", /127\.32\.0\.10/);
});

test("a service of both families has a table of each, with that family's addresses alone", async () => {
  const inputs: string[] = [];
  const mode = new NftablesMode({
    run: (_, __, input) => {
      inputs.push(input);
      return Promise.resolve({ code: 0, stderr: "" });
    },
    ...{ clock: new FakeClock(), log: silent, nodeName: "n1", families: ["IPv4", "IPv6"] },
    clusterRanges: ["fd00:10::/56", "10.244.0.0/16"],
    nodePortAddresses: ["192.0.2.7", "2001:db8::7"],
    ownAddresses: [],
  });
  const spec: Service["spec"] = {
    type: "LoadBalancer",
    clusterIPs: ["fd00:96::5", "10.96.0.5"],
    externalIPs: ["198.51.100.1", "2001:db8::1"],
    loadBalancerSourceRanges: ["203.0.113.0/24", "2001:db8:1::/48"],
    sessionAffinity: "ClientIP",
  };
  const status = { loadBalancer: { ingress: [{ ip: "192.0.2.9" }, { ip: "2001:db8::9" }] } };
  const sixth: EndpointSlice = { ...slice({ addresses: ["fd00:10::2"] }), addressType: "IPv6" };
  await mode.apply(routes(spec, [slice(here), sixth], status), () => undefined);
  await mode.close();
  const [four = "", six = ""] = inputs.map((text) => text.replaceAll(/-[0-9A-F]{8}-d\//g, "-"));
  assert.equal(inputs.length, 2);
  assert.doesNotMatch(four, /ip6|ipv6|fd00|2001/);
  assert.doesNotMatch(six, /ipv4|\bip [sd]addr|10\.\d|192\.0|198\.51|203\.0/);
  for (const line of [
    "add element ip6 kube-proxy nodeport-ips { 2001:db8::7 }",
    "add set ip6 kube-proxy affinity-web/tcp/80__fd00.10..2/8080 " +
      "{ type ipv6_addr ; flags dynamic,timeout ; timeout 10800s ; size 65535 ; }",
    "add rule ip6 kube-proxy endpoint-web/tcp/80__fd00.10..2/8080 " +
      "meta l4proto tcp dnat ip6 to [fd00:10::2]:8080",
    "add rule ip6 kube-proxy service-web/tcp/80 ip6 daddr fd00:96::5 tcp dport 80 " +
      "ip6 saddr != fd00:10::/56 jump mark-for-masquerade",
    "add rule ip6 kube-proxy firewall-web/tcp/80 ip6 saddr != { 2001:db8:1::/48 } jump firewall-drop",
  ]) {
    assert.ok(six.split("\n").includes(line), `${line}\n${six}`);
  }
});
