import { isDeepStrictEqual } from "node:util";
import type { ClusterRole, PolicyRule } from "../../proto/gen/rbac.ts";
import { keyOf } from "../client/mod.ts";
import { matchesLabels, selectorOf } from "../kinds/facts.ts";
import type { Controller } from "./types.ts";

/** Fills in the rules of cluster roles that are made of others (their `aggregationRule`). */
export function clusterRoleAggregation(workers: number): Controller {
  return {
    name: "clusterrole-aggregation",
    informers: ["ClusterRole"],
    workers,
    start({ client, informer, on, queue, write }) {
      const { lister } = informer("ClusterRole");
      // Any role may be a part of any that aggregates, before or after its change.
      const enqueueAll = () => {
        for (const role of lister.list()) {
          if (role.aggregationRule !== undefined) queue.add(keyOf(role));
        }
      };
      on("ClusterRole", { added: enqueueAll, updated: enqueueAll, deleted: enqueueAll });
      return async (name) => {
        const role = lister.get(name);
        if (role?.aggregationRule === undefined) return;
        const rules = aggregated(role, lister.list());
        if (isDeepStrictEqual((role.rules ?? []).map(plain), rules.map(plain))) return;
        await client.clusterRoles.update({ ...role, rules }, write);
      };
    },
  };
}

/** Each rule once, in the order of the selectors and, for each, of the roles' names. */
function aggregated(role: ClusterRole, all: readonly ClusterRole[]): PolicyRule[] {
  const sorted = all.toSorted((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
  const rules = new Map<string, PolicyRule>();
  for (const each of role.aggregationRule?.clusterRoleSelectors ?? []) {
    const selector = selectorOf(each);
    for (const part of sorted) {
      if (part.metadata?.name === role.metadata?.name) continue;
      if (!matchesLabels(selector, part.metadata?.labels)) continue;
      for (const rule of part.rules ?? []) {
        const text = JSON.stringify(plain(rule));
        if (!rules.has(text)) rules.set(text, rule);
      }
    }
  }
  return [...rules.values()];
}

/** Without what is absent or empty, which says nothing in a rule. */
function plain(rule: PolicyRule): unknown {
  return JSON.parse(
    JSON.stringify(rule, (_key, part: unknown) =>
      Array.isArray(part) && part.length === 0 ? undefined : part,
    ),
  );
}
