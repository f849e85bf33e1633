/** What of a pod may change once it exists (upstream `ValidatePodUpdate`). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { NodeSelectorTerm, PodSpec, Toleration } from "../../../../proto/gen/core.ts";
import { forbidden, invalid } from "../../machinery/causes.ts";
import { differences } from "../../machinery/differences.ts";
import { copyJson, equalJson } from "../../machinery/json.ts";

const updateRule =
  "pod updates may not change fields other than `spec.containers[*].image`," +
  "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only " +
  "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 " +
  "if it was previously negative)";

/** What of a pod's spec may change once it exists; binding to a node goes another way. */
export function validatePodSpecUpdate(next: PodSpec, stored: PodSpec): FieldCause[] {
  // As of every write of the status.
  if (equalJson(stored, next)) return [];
  const causes: FieldCause[] = [];
  for (const name of ["containers", "initContainers"] as const) {
    if ((next[name] ?? []).length === (stored[name] ?? []).length) continue;
    causes.push(forbidden(`spec.${name}`, "pod updates may not add or remove containers"));
  }
  if (causes.length > 0) return causes;
  causes.push(...validateDeadlineUpdate(next.activeDeadlineSeconds, stored.activeDeadlineSeconds));
  causes.push(...validateTolerationsUpdate(next.tolerations ?? [], stored.tolerations ?? []));
  const gates = new Set((stored.schedulingGates ?? []).map(({ name }) => name));
  for (const { name = "" } of next.schedulingGates ?? []) {
    if (gates.has(name)) continue;
    const detail = `only deletion is allowed, but found new scheduling gate '${name}'`;
    causes.push(forbidden("spec.schedulingGates", detail));
  }
  const expected = expectedSpec(next, stored);
  if ((stored.schedulingGates ?? []).length > 0) {
    causes.push(...validateGated(next, stored));
    expected.nodeSelector = next.nodeSelector;
    const affinity = { ...stored.affinity, nodeAffinity: next.affinity?.nodeAffinity };
    expected.affinity = equalJson(affinity, {}) ? next.affinity : affinity;
  }
  if (equalJson(expected, next)) return causes;
  return [...causes, forbidden("spec", `${updateRule}\n${differences(expected, next)}`)];
}

/** The stored spec with what may change as `next` has it. */
function expectedSpec(next: PodSpec, stored: PodSpec): PodSpec {
  const expected = copyJson(stored);
  for (const name of ["containers", "initContainers"] as const) {
    expected[name]?.forEach((container, index) => {
      const image = next[name]?.[index]?.image;
      if (image !== undefined) container.image = image;
    });
  }
  expected.activeDeadlineSeconds = next.activeDeadlineSeconds;
  expected.tolerations = next.tolerations;
  expected.schedulingGates = next.schedulingGates;
  const grace = stored.terminationGracePeriodSeconds ?? 0;
  if (grace < 0 && next.terminationGracePeriodSeconds === 1) {
    expected.terminationGracePeriodSeconds = 1;
  }
  return expected;
}

/** While a pod waits for its gates, the nodes that it may run on can become fewer. */
function validateGated(next: PodSpec, stored: PodSpec): FieldCause[] {
  const { nodeSelector = {} } = next;
  const kept = Object.entries(stored.nodeSelector ?? {}).every(
    ([key, value]) => nodeSelector[key] === value,
  );
  const rule = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
  const causes = kept ? [] : [invalid("spec.nodeSelector", nodeSelector, rule)];
  const terms = (spec: PodSpec) =>
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
      ?.nodeSelectorTerms ?? [];
  const [wanted, before] = [terms(next), terms(stored)];
  const path =
    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
  if (before.length > 0 && before.length !== wanted.length) {
    const detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
    return [...causes, invalid(path, wanted, detail)];
  }
  before.forEach((term, index) => {
    if (onlyAdds(wanted[index] ?? {}, term)) return;
    const detail = "only additions are allowed (no mutations or deletions)";
    causes.push(invalid(`${path}[${index}]`, wanted[index], detail));
  });
  return causes;
}

/** A term without requirements selects nothing, so that an addition would select more. */
function onlyAdds(next: NodeSelectorTerm, stored: NodeSelectorTerm): boolean {
  const lists = ["matchExpressions", "matchFields"] as const;
  const isEmpty = (term: NodeSelectorTerm) =>
    lists.every((list) => (term[list] ?? []).length === 0);
  if (isEmpty(stored)) return isEmpty(next);
  return lists.every((list) => {
    const before = stored[list] ?? [];
    return equalJson((next[list] ?? []).slice(0, before.length), before);
  });
}

function validateDeadlineUpdate(
  next: number | undefined,
  stored: number | undefined,
): FieldCause[] {
  const field = "spec.activeDeadlineSeconds";
  if (stored === undefined || next === stored) return [];
  if (next === undefined) {
    return [invalid(field, next, "must not update from a positive integer to nil value")];
  }
  if (next <= stored) return [];
  return [invalid(field, next, "must be less than or equal to previous value")];
}

function validateTolerationsUpdate(
  next: readonly Toleration[],
  stored: readonly Toleration[],
): FieldCause[] {
  const withoutSeconds = (toleration: Toleration): Toleration => {
    const { tolerationSeconds: _, ...rest } = toleration;
    return rest;
  };
  const kept = stored.every((before) =>
    next.some((after) => equalJson(withoutSeconds(before), withoutSeconds(after))),
  );
  if (kept) return [];
  const detail = "existing toleration can not be modified except its tolerationSeconds";
  return [forbidden("spec.tolerations", detail)];
}
