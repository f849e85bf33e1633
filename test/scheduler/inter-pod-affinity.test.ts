/** Inter-pod affinity: what upstream documents, as tables. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Affinity, Pod, PodAffinityTerm, PodSpec } from "../../proto/gen/core.ts";
import type { Labels } from "../../services/scheduler/pod-terms.ts";
import { hostname, node, place, pod, points, verdicts, type World, zone } from "./world.ts";

const noNeighbour = "node(s) didn't match pod affinity rules";
const neighbour = "node(s) didn't match pod anti-affinity rules";
const unwelcome = "node(s) didn't satisfy existing pods anti-affinity rules";

const app = (name: string): Labels => ({ app: name });
const term = (name: string, change: Partial<PodAffinityTerm> = {}): PodAffinityTerm => ({
  topologyKey: zone,
  labelSelector: { matchLabels: { app: name } },
  ...change,
});
const selecting = (
  operator: string,
  values: string[],
  key = "app",
  topologyKey = zone,
): PodAffinityTerm => ({
  topologyKey,
  labelSelector: { matchExpressions: [{ key, operator, values }] },
});
const spec = (affinity: Affinity): PodSpec => ({ affinity });
const near = (...terms: PodAffinityTerm[]) =>
  spec({ podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms } });
const away = (...terms: PodAffinityTerm[]) =>
  spec({ podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: terms } });
const likes = (weight: number, podAffinityTerm: PodAffinityTerm) =>
  spec({
    podAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [{ weight, podAffinityTerm }],
    },
  });
const dislikes = (weight: number, podAffinityTerm: PodAffinityTerm) =>
  spec({
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [{ weight, podAffinityTerm }],
    },
  });
const inNamespace = (namespace: string, each: Pod): Pod => ({
  ...each,
  metadata: { ...each.metadata, namespace },
});
const ending = (each: Pod): Pod => ({
  ...each,
  metadata: { ...each.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" },
});

/** a and b are in one zone, c in another, d in none. */
const nodes = () => [
  node("a", { [zone]: "z1" }),
  node("b", { [zone]: "z1" }),
  node("c", { [zone]: "z2" }),
  node("d"),
];

type Row = readonly [
  what: string,
  wanted: Pod,
  around: Omit<World, "nodes">,
  expected: readonly string[],
];

const fits = "fits";
const four = (verdict: string) => [verdict, verdict, verdict, verdict];

const filterRows: readonly Row[] = [
  ["no rules", pod(app("web")), {}, four(fits)],
  ["no rules, among pods", pod(app("web")), { pods: { a: [pod(app("db"))] } }, four(fits)],
  [
    "near: the zone of the other",
    pod(app("web"), near(term("db"))),
    { pods: { a: [pod(app("db"))] } },
    [fits, fits, noNeighbour, noNeighbour],
  ],
  [
    "near: the very node",
    pod(app("web"), near(term("db", { topologyKey: hostname }))),
    { pods: { a: [pod(app("db"))] } },
    [fits, noNeighbour, noNeighbour, noNeighbour],
  ],
  ["near: no such pod", pod(app("web"), near(term("db"))), {}, four(noNeighbour)],
  [
    "near: the first of its own kind may go anywhere with the label",
    pod(app("web"), near(term("web"))),
    {},
    [fits, fits, fits, noNeighbour],
  ],
  [
    "near: the first, but another namespace is meant",
    pod(app("web"), near(term("web", { namespaces: ["other"] }))),
    {},
    four(noNeighbour),
  ],
  [
    "near: the second of its kind goes to the first",
    pod(app("web"), near(term("web"))),
    { pods: { c: [pod(app("web"))] } },
    [noNeighbour, noNeighbour, fits, noNeighbour],
  ],
  [
    "near: a pod that ends counts still",
    pod(app("web"), near(term("db"))),
    { pods: { c: [ending(pod(app("db")))] } },
    [noNeighbour, noNeighbour, fits, noNeighbour],
  ],
  [
    "near: a pod on a node without the label is in no zone",
    pod(app("web"), near(term("db"))),
    { pods: { d: [pod(app("db"))] } },
    four(noNeighbour),
  ],
  [
    "near: both terms must be met by one pod",
    pod(app("web"), near(term("db"), selecting("In", ["ssd"], "disk"))),
    { pods: { a: [pod({ app: "db", disk: "ssd" })], c: [pod(app("db"))] } },
    [fits, fits, noNeighbour, noNeighbour],
  ],
  [
    "near: two pods that each meet one term do not do",
    pod(app("web"), near(term("db"), selecting("In", ["ssd"], "disk"))),
    { pods: { a: [pod(app("db")), pod({ disk: "ssd" })] } },
    four(noNeighbour),
  ],
  [
    "near: two terms with two labels",
    pod(app("web"), near(term("db"), term("db", { topologyKey: hostname }))),
    { pods: { a: [pod(app("db"))] } },
    [fits, noNeighbour, noNeighbour, noNeighbour],
  ],
  [
    "near: the own namespace only",
    pod(app("web"), near(term("db"))),
    { pods: { a: [inNamespace("other", pod(app("db")))] } },
    four(noNeighbour),
  ],
  [
    "near: a named namespace",
    pod(app("web"), near(term("db", { namespaces: ["other"] }))),
    { pods: { a: [inNamespace("other", pod(app("db")))] } },
    [fits, fits, noNeighbour, noNeighbour],
  ],
  [
    "near: a named namespace replaces the own",
    pod(app("web"), near(term("db", { namespaces: ["other"] }))),
    { pods: { a: [pod(app("db"))] } },
    four(noNeighbour),
  ],
  [
    "near: a namespace by its labels",
    pod(app("web"), near(term("db", { namespaceSelector: { matchLabels: { team: "x" } } }))),
    {
      pods: { a: [inNamespace("other", pod(app("db")))], c: [inNamespace("more", pod(app("db")))] },
      namespaces: { other: { team: "x" }, more: { team: "y" } },
    },
    [fits, fits, noNeighbour, noNeighbour],
  ],
  [
    "near: the empty selector of namespaces means all",
    pod(app("web"), near(term("db", { namespaceSelector: {} }))),
    { pods: { c: [inNamespace("other", pod(app("db")))] }, namespaces: { other: {} } },
    [noNeighbour, noNeighbour, fits, noNeighbour],
  ],
  [
    "near: names and labels of namespaces add up",
    pod(
      app("web"),
      near(term("db", { namespaces: ["more"], namespaceSelector: { matchLabels: { team: "x" } } })),
    ),
    {
      pods: { a: [inNamespace("other", pod(app("db")))], c: [inNamespace("more", pod(app("db")))] },
      namespaces: { other: { team: "x" }, more: {} },
    },
    [fits, fits, fits, noNeighbour],
  ],
  [
    "near: no label selector selects no pod",
    pod(app("web"), near({ topologyKey: zone })),
    { pods: { a: [pod(app("db"))] } },
    four(noNeighbour),
  ],
  [
    "near: the empty label selector selects every pod",
    pod(app("web"), near({ topologyKey: zone, labelSelector: {} })),
    { pods: { a: [pod(app("db"))] } },
    [fits, fits, noNeighbour, noNeighbour],
  ],
  ...(
    [
      ["In", ["db", "x"], [fits, fits, noNeighbour, noNeighbour]],
      ["NotIn", ["db"], [noNeighbour, noNeighbour, fits, noNeighbour]],
      ["Exists", [], [fits, fits, fits, noNeighbour]],
    ] as const
  ).map(
    ([operator, values, expected]): Row => [
      `near: ${operator}`,
      pod({}, near(selecting(operator, [...values]))),
      { pods: { a: [pod(app("db"))], c: [pod(app("cache"))] } },
      expected,
    ],
  ),
  [
    "near: DoesNotExist",
    pod(app("web"), near(selecting("DoesNotExist", []))),
    { pods: { a: [pod(app("db"))], c: [pod({ x: "y" })] } },
    [noNeighbour, noNeighbour, fits, noNeighbour],
  ],
  [
    "away: from the zone of the other",
    pod(app("web"), away(term("db"))),
    { pods: { a: [pod(app("db"))] } },
    [neighbour, neighbour, fits, fits],
  ],
  [
    "away: from the very node",
    pod(app("web"), away(term("db", { topologyKey: hostname }))),
    { pods: { a: [pod(app("db"))] } },
    [neighbour, fits, fits, fits],
  ],
  ["away: from its own kind, alone", pod(app("web"), away(term("web"))), {}, four(fits)],
  [
    "away: from its own kind, both say so; its own rule is told",
    pod(app("web"), away(term("web"))),
    { pods: { c: [pod(app("web"), away(term("web")))] } },
    [fits, fits, neighbour, fits],
  ],
  [
    "away: any of two terms is enough",
    pod(app("web"), away(term("db"), term("cache"))),
    { pods: { a: [pod(app("db"))], c: [pod(app("cache"))] } },
    [neighbour, neighbour, neighbour, fits],
  ],
  [
    "away: the own namespace only",
    pod(app("web"), away(term("db"))),
    { pods: { a: [inNamespace("other", pod(app("db")))] } },
    four(fits),
  ],
  [
    "away: a namespace by its labels",
    pod(app("web"), away(term("db", { namespaceSelector: { matchLabels: { team: "x" } } }))),
    {
      pods: { a: [inNamespace("other", pod(app("db")))] },
      namespaces: { other: { team: "x" } },
    },
    [neighbour, neighbour, fits, fits],
  ],
  [
    "away: a pod that ends counts still",
    pod(app("web"), away(term("db"))),
    { pods: { a: [ending(pod(app("db")))] } },
    [neighbour, neighbour, fits, fits],
  ],
  [
    "unwelcome: the pod there does not want it",
    pod(app("web")),
    { pods: { a: [pod(app("db"), away(term("web")))] } },
    [unwelcome, unwelcome, fits, fits],
  ],
  [
    "unwelcome: the pod there means others",
    pod(app("web")),
    { pods: { a: [pod(app("db"), away(term("cache")))] } },
    four(fits),
  ],
  [
    "unwelcome: on the very node",
    pod(app("web")),
    { pods: { c: [pod(app("db"), away(term("web", { topologyKey: hostname })))] } },
    [fits, fits, unwelcome, fits],
  ],
  [
    "unwelcome: the pod there means pods of its own namespace",
    pod(app("web")),
    { pods: { a: [inNamespace("other", pod(app("db"), away(term("web"))))] } },
    four(fits),
  ],
  [
    "unwelcome: the pod there names this namespace",
    pod(app("web")),
    {
      pods: {
        a: [inNamespace("other", pod(app("db"), away(term("web", { namespaces: ["default"] }))))],
      },
    },
    [unwelcome, unwelcome, fits, fits],
  ],
  [
    "unwelcome: the pod there selects this namespace",
    pod(app("web")),
    {
      pods: {
        a: [
          inNamespace(
            "other",
            pod(app("db"), away(term("web", { namespaceSelector: { matchLabels: { t: "1" } } }))),
          ),
        ],
      },
      namespaces: { default: { t: "1" } },
    },
    [unwelcome, unwelcome, fits, fits],
  ],
  [
    "affinity is told before anti-affinity, that before what others say",
    pod(app("web"), {
      affinity: {
        podAffinity: near(term("db")).affinity!.podAffinity!,
        podAntiAffinity: away(term("cache")).affinity!.podAntiAffinity!,
      },
    }),
    {
      pods: {
        a: [pod(app("db")), pod(app("cache"))],
        c: [pod(app("db"), away(term("web")))],
      },
    },
    [neighbour, neighbour, unwelcome, noNeighbour],
  ],
];

test("filter: near, away, and unwelcome", () => {
  for (const [what, wanted, around, expected] of filterRows) {
    assert.deepEqual(verdicts(wanted, { nodes: nodes(), ...around }), expected, what);
  }
});

test("the message counts each reason", () => {
  const wanted = pod(app("web"), away(term("web", { topologyKey: hostname })));
  const world = {
    nodes: [node("a"), node("b"), node("c", { disk: "ssd" })],
    pods: {
      a: [pod(app("web"))],
      b: [pod(app("web"))],
      c: [pod(app("db"), away(term("web", { topologyKey: "disk" })))],
    },
  };
  assert.equal(
    place(wanted, world),
    "0/3 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules, " +
      "2 node(s) didn't match pod anti-affinity rules.",
  );
});

type ScoreRow = readonly [
  what: string,
  wanted: Pod,
  pods: NonNullable<World["pods"]>,
  expected: readonly number[],
];

const scoreRows: readonly ScoreRow[] = [
  ["nobody says anything", pod(app("web")), { a: [pod(app("db"))] }, [0, 0, 0, 0]],
  ["near", pod(app("web"), likes(5, term("db"))), { a: [pod(app("db"))] }, [100, 100, 0, 0]],
  [
    "near the very node",
    pod(app("web"), likes(5, term("db", { topologyKey: hostname }))),
    { b: [pod(app("db"))] },
    [0, 100, 0, 0],
  ],
  [
    "more such pods, more points",
    pod(app("web"), likes(5, term("db"))),
    { a: [pod(app("db")), pod(app("db"))], c: [pod(app("db"))] },
    [100, 100, 50, 0],
  ],
  ["away", pod(app("web"), dislikes(5, term("db"))), { a: [pod(app("db"))] }, [0, 0, 100, 100]],
  [
    "the weights count",
    pod(app("web"), {
      affinity: {
        podAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [
            { weight: 8, podAffinityTerm: term("db") },
            { weight: 2, podAffinityTerm: term("cache") },
          ],
        },
      },
    }),
    { a: [pod(app("db"))], c: [pod(app("cache"))] },
    [100, 100, 25, 0],
  ],
  [
    "others like it near",
    pod(app("web")),
    { c: [pod(app("db"), likes(3, term("web")))] },
    [0, 0, 100, 0],
  ],
  [
    "others would rather not have it near",
    pod(app("web")),
    { c: [pod(app("db"), dislikes(3, term("web")))] },
    [100, 100, 0, 100],
  ],
  [
    "others that require it near count one point",
    pod(app("web")),
    { a: [pod(app("db"), near(term("web")))], c: [pod(app("db"), likes(2, term("web")))] },
    [50, 50, 100, 0],
  ],
  [
    "likes and dislikes cancel out",
    pod(app("web"), likes(4, term("db"))),
    { a: [pod(app("db"), dislikes(4, term("web")))] },
    [0, 0, 0, 0],
  ],
  [
    "pods of other namespaces are not meant",
    pod(app("web"), likes(5, term("db"))),
    { a: [inNamespace("other", pod(app("db")))] },
    [0, 0, 0, 0],
  ],
  [
    "pods of a named namespace are",
    pod(app("web"), likes(5, term("db", { namespaces: ["other"] }))),
    { a: [inNamespace("other", pod(app("db")))] },
    [100, 100, 0, 0],
  ],
];

test("score: who likes whom, from 0 to 100", () => {
  for (const [what, wanted, pods, expected] of scoreRows) {
    const world = { nodes: nodes(), pods };
    assert.deepEqual(points(wanted, world, "InterPodAffinity"), expected, what);
  }
});
