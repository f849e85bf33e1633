import type {
  NodeSelector,
  NodeSelectorTerm,
  Pod,
  PreferredSchedulingTerm,
} from "../../../proto/gen/core.ts";
import { matchesTerm, selectsNode } from "../../kinds/facts.ts";
import { normalizeHighest, on, type Plugin, refuseForGood } from "../framework/mod.ts";

const otherLabels = refuseForGood("node(s) didn't match Pod's node affinity/selector");

/** nodeSelector and node affinity, required and preferred. */
export const nodeAffinity: Plugin = {
  name: "NodeAffinity",
  alike: ({ pod: { spec } }) => JSON.stringify([spec?.nodeSelector, spec?.affinity?.nodeAffinity]),
  events: [
    on(
      "Node",
      ["added", "updated"],
      ({ pod }, { next }) => next === undefined || selectsNode(pod, next),
    ),
  ],
  preFilter({ pod }) {
    const required = requiredOf(pod.pod);
    const skip = Object.keys(pod.pod.spec?.nodeSelector ?? {}).length === 0 && !required;
    const nodeNames = required && namesOf(required.nodeSelectorTerms ?? []);
    return { skip, ...(nodeNames && { nodeNames }) };
  },
  filter: ({ pod }, { node }) => (node && selectsNode(pod.pod, node) ? undefined : otherLabels),
  preScore: ({ pod }) => (preferredOf(pod.pod).length === 0 ? "skip" : undefined),
  score: {
    weight: 2,
    normalize: normalizeHighest,
    points({ pod }, { node }) {
      let points = 0;
      for (const { weight = 0, preference } of preferredOf(pod.pod)) {
        if (node && preference && matchesTerm(preference, node)) points += weight;
      }
      return points;
    },
  },
};

function requiredOf({ spec }: Pod): NodeSelector | undefined {
  return spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
}

/** The nodes that the terms name, when each of them names some: no other can match. */
function namesOf(terms: readonly NodeSelectorTerm[]): ReadonlySet<string> | undefined {
  const names = new Set<string>();
  for (const { matchFields = [] } of terms) {
    const named = matchFields.filter(
      ({ key, operator }) => key === "metadata.name" && operator === "In",
    );
    const [first, ...others] = named.map(({ values = [] }) => values);
    if (first === undefined) return undefined;
    for (const name of first) if (others.every((values) => values.includes(name))) names.add(name);
  }
  return terms.length === 0 ? undefined : names;
}

function preferredOf({ spec }: Pod): readonly PreferredSchedulingTerm[] {
  return spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
}
