import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Namespace, Pod } from "../../proto/gen/core.ts";
import type { NetworkPolicy, NetworkPolicySpec } from "../../proto/gen/networking.ts";
import { restrictionsOf } from "../../services/kube-proxy/policies/plan.ts";
import { policyTable } from "../../services/kube-proxy/policies/table.ts";

function pod(name: string, podIP: string, more: Pod["spec"] = {}, namespace = "shop"): Pod {
  const containers = [
    { name: "c", ports: [{ name: "http", containerPort: Number(podIP.at(-1)) + 8_000 }] },
  ];
  return {
    metadata: { name, namespace, labels: { app: name } },
    spec: { nodeName: "n1", containers, ...more },
    status: { podIP, phase: "Running" },
  };
}
const pods = [
  pod("web", "10.1.0.1"),
  pod("db", "10.1.0.2", { nodeName: "n2" }),
  pod("host", "10.0.0.9", { hostNetwork: true }),
  pod("probe", "10.1.0.3", {}, "watch"),
  { ...pod("done", "10.1.0.4"), status: { podIP: "10.1.0.4", phase: "Succeeded" } },
];
const namespaces: Namespace[] = ["shop", "watch"].map((name) => ({
  metadata: { name, labels: { "kubernetes.io/metadata.name": name } },
}));
const web = { matchLabels: { app: "web" } };

/** The rules of the web pod, without what is the same for all. */
function rules(...specs: NetworkPolicySpec[]): string[] {
  const policies: NetworkPolicy[] = specs.map((spec, i) => ({
    metadata: { name: `p${i}`, namespace: "shop" },
    spec,
  }));
  const world = { policies, pods, namespaces, nodeName: "n1", family: "IPv4" } as const;
  const text = policyTable(restrictionsOf(world), "IPv4");
  return text
    .split("\n")
    .flatMap((line) => /^add rule ip kube-network-policy ((?:in|e)gress-.*)/.exec(line)?.[1] ?? [])
    .filter((line) => !/ip [sd]addr 10\.1\.0\.\d return$/.test(line));
}

describe("network policies", () => {
  const rows: [string, NetworkPolicySpec[], string[]][] = [
    ["no policy, no rule", [], []],
    ["a policy that selects no pod", [{ podSelector: { matchLabels: { app: "x" } } }], []],
    [
      "default deny, for the pods of this node that have a network of their own",
      [{ podSelector: {}, policyTypes: ["Ingress", "Egress"] }],
      ["egress-10.1.0.1 drop", "ingress-10.1.0.1 drop"],
    ],
    [
      "everyone is allowed",
      [{ podSelector: web, ingress: [{}] }],
      ["ingress-10.1.0.1 return", "ingress-10.1.0.1 drop"],
    ],
    [
      "pods of the own namespace",
      [{ podSelector: web, ingress: [{ from: [{ podSelector: {} }] }] }],
      ["ingress-10.1.0.1 ip saddr { 10.1.0.1, 10.1.0.2 } return", "ingress-10.1.0.1 drop"],
    ],
    [
      "pods of other namespaces by both selectors",
      [
        {
          podSelector: web,
          ingress: [
            {
              from: [
                {
                  namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "watch" } },
                  podSelector: { matchExpressions: [{ key: "app", operator: "Exists" }] },
                },
              ],
            },
          ],
        },
      ],
      ["ingress-10.1.0.1 ip saddr { 10.1.0.3 } return", "ingress-10.1.0.1 drop"],
    ],
    [
      "a peer without any pod lets no packet in",
      [{ podSelector: web, ingress: [{ from: [{ podSelector: { matchLabels: { app: "x" } } }] }] }],
      ["ingress-10.1.0.1 drop"],
    ],
    [
      "blocks and their exceptions; those of IPv6 are for other tables",
      [
        {
          podSelector: web,
          egress: [
            {
              to: [
                { ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16", "10.2.0.0/16"] } },
                { ipBlock: { cidr: "2001:db8::/32" } },
                { ipBlock: { cidr: "192.0.2.0/24" } },
              ],
            },
          ],
          policyTypes: ["Egress"],
        },
      ],
      [
        "egress-10.1.0.1 ip daddr 10.0.0.0/8 ip daddr != { 10.1.0.0/16, 10.2.0.0/16 } return",
        "egress-10.1.0.1 ip daddr 192.0.2.0/24 return",
        "egress-10.1.0.1 drop",
      ],
    ],
    [
      "ports: numbers, ranges that overlap, whole protocols, names of the target's ports",
      [
        {
          podSelector: web,
          ingress: [
            {
              ports: [
                { port: 80 },
                { port: 8_000, endPort: 8_100 },
                { port: 8_050, endPort: 8_200 },
                { protocol: "UDP" },
                { port: "http" },
                { port: "unknown" },
              ],
            },
          ],
        },
      ],
      [
        "ingress-10.1.0.1 tcp dport { 80, 8000-8200 } return",
        "ingress-10.1.0.1 meta l4proto udp return",
        "ingress-10.1.0.1 drop",
      ],
    ],
    [
      "egress to a named port: each peer's own number",
      [
        {
          podSelector: web,
          egress: [
            { to: [{ podSelector: { matchLabels: { app: "db" } } }], ports: [{ port: "http" }] },
          ],
          policyTypes: ["Egress"],
        },
      ],
      ["egress-10.1.0.1 ip daddr . tcp dport { 10.1.0.2 . 8002 } return", "egress-10.1.0.1 drop"],
    ],
    [
      "policies add up",
      [
        { podSelector: {}, policyTypes: ["Ingress"] },
        { podSelector: web, ingress: [{ ports: [{ port: 80 }] }] },
        { podSelector: web, ingress: [{ ports: [{ port: 80 }] }] },
      ],
      ["ingress-10.1.0.1 tcp dport { 80 } return", "ingress-10.1.0.1 drop"],
    ],
  ];
  for (const [name, specs, expected] of rows) {
    test(name, () => assert.deepEqual(rules(...specs), expected));
  }

  test("pods of both families are restricted in both", () => {
    const podIPs = [{ ip: "10.1.0.1" }, { ip: "fd00::1" }];
    const dual = { ...pod("web", "10.1.0.1"), status: { podIP: "10.1.0.1", podIPs } };
    const block = { cidr: "fd01::/16", except: ["fd01:1::/32"] };
    const spec = { podSelector: web, ingress: [{ from: [{ ipBlock: block }] }] };
    const policies = [{ metadata: { name: "p", namespace: "shop" }, spec }];
    const world = { policies, pods: [dual], namespaces, nodeName: "n1" };
    const lines = (family: "IPv4" | "IPv6") =>
      policyTable(restrictionsOf({ ...world, family }), family)
        .split("\n")
        .filter((line) => line.startsWith("add rule") && line.includes("ingress-"));
    assert.deepEqual(lines("IPv6"), [
      "add rule ip6 kube-network-policy forward ip6 daddr vmap @ingress-pods",
      "add rule ip6 kube-network-policy ingress-fd00..1 ip6 saddr fd00::1 return",
      "add rule ip6 kube-network-policy ingress-fd00..1 ip6 saddr fd01::/16 " +
        "ip6 saddr != { fd01:1::/32 } return",
      "add rule ip6 kube-network-policy ingress-fd00..1 drop",
    ]);
    assert.deepEqual(lines("IPv4").slice(1), [
      "add rule ip kube-network-policy ingress-10.1.0.1 ip saddr 10.1.0.1 return",
      "add rule ip kube-network-policy ingress-10.1.0.1 drop",
    ]);
  });

  test("without a restriction there is no table", () => {
    assert.equal(
      policyTable([], "IPv4"),
      "add table ip kube-network-policy\ndelete table ip kube-network-policy\n",
    );
  });

  test("many pods and policies", () => {
    const many = Array.from({ length: 2_000 }, (_, i) =>
      pod(`p${i}`, `10.2.${i >> 8}.${i & 255}`, { nodeName: i < 100 ? "n1" : "n2" }),
    );
    const policies = Array.from({ length: 50 }, (_, i) => ({
      metadata: { name: `p${i}`, namespace: "shop" },
      spec: { podSelector: {}, ingress: [{ from: [{ podSelector: {} }], ports: [{ port: i }] }] },
    }));
    const found = restrictionsOf({
      ...{ policies, pods: many, namespaces, nodeName: "n1", family: "IPv4" },
    });
    assert.equal(found.length, 100);
    assert.equal(found[0]?.allowances.length, 50);
  });
});
