/** Pod affinity terms and topology spread constraints (upstream `core/validation/validation.go`). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  PodAffinityTerm,
  PodSpec,
  TopologySpreadConstraint,
} from "../../../../proto/gen/core.ts";
import type { LabelSelector } from "../../../../proto/gen/meta.ts";
import { duplicate, forbidden, invalid, notSupported, required } from "../../machinery/causes.ts";
import { wrong } from "../../machinery/field-rules.ts";
import { validateLabelSelector } from "../../machinery/label-selector.ts";
import { checkLabelName, checkQualifiedName } from "../../machinery/names.ts";
import { oneOf } from "./field-checks.ts";

const noSelector = "must not be specified when labelSelector is not set";
const inSelector = "exists in both matchLabelKeys and labelSelector";

export function validatePodTerm(term: PodAffinityTerm, path: string): FieldCause[] {
  const { topologyKey = "", labelSelector, namespaceSelector } = term;
  const { matchLabelKeys = [], mismatchLabelKeys = [] } = term;
  const causes: FieldCause[] = [];
  for (const [name, selector] of Object.entries({ labelSelector, namespaceSelector })) {
    if (selector !== undefined) causes.push(...validateLabelSelector(selector, `${path}.${name}`));
  }
  term.namespaces?.forEach((namespace) => {
    for (const problem of checkLabelName(namespace)) {
      causes.push(invalid(`${path}.namespace`, namespace, problem));
    }
  });
  causes.push(
    ...validateKeys(matchLabelKeys, labelSelector, `${path}.matchLabelKeys`),
    ...validateKeys(mismatchLabelKeys, labelSelector, `${path}.mismatchLabelKeys`),
  );
  // The keys have been added to the selector before: they must not have been there already.
  const seen = new Set(Object.keys(labelSelector?.matchLabels ?? {}));
  for (const { key = "" } of labelSelector?.matchExpressions ?? []) {
    const index = matchLabelKeys.lastIndexOf(key);
    if (index >= 0 && seen.has(key)) causes.push(invalid(`${path}[${index}]`, key, inSelector));
    seen.add(key);
  }
  matchLabelKeys.forEach((key, index) => {
    if (!mismatchLabelKeys.includes(key)) return;
    const detail = "exists in both matchLabelKeys and mismatchLabelKeys";
    causes.push(invalid(`${path}.matchLabelKeys[${index}]`, key, detail));
  });
  const field = `${path}.topologyKey`;
  if (topologyKey === "") causes.push(required(field, "can not be empty"));
  return [...causes, ...wrong(field, topologyKey, checkQualifiedName(topologyKey))];
}

function validateKeys(
  keys: readonly string[],
  selector: LabelSelector | undefined,
  path: string,
): FieldCause[] {
  if (keys.length === 0) return [];
  if (selector === undefined) return [forbidden(path, noSelector)];
  return keys.flatMap((key, index) =>
    checkQualifiedName(key).map((problem) => invalid(`${path}[${index}]`, key, problem)),
  );
}

export function validateSpread(spec: PodSpec, path: string): FieldCause[] {
  const all = spec.topologySpreadConstraints ?? [];
  return all.flatMap((constraint, index) => {
    const at = `${path}[${index}]`;
    const { topologyKey = "", whenUnsatisfiable = "" } = constraint;
    const isSame = (other: TopologySpreadConstraint) =>
      other.topologyKey === topologyKey && other.whenUnsatisfiable === whenUnsatisfiable;
    // Upstream compares each with those after it.
    const twice = all.slice(index + 1).some(isSame)
      ? [
          duplicate(
            `${at}.{topologyKey, whenUnsatisfiable}`,
            `{${topologyKey}, ${whenUnsatisfiable}}`,
          ),
        ]
      : [];
    return validateConstraint(constraint, at, twice);
  });
}

function validateConstraint(
  constraint: TopologySpreadConstraint,
  at: string,
  twice: readonly FieldCause[],
): FieldCause[] {
  const { maxSkew = 0, topologyKey = "", whenUnsatisfiable = "", minDomains } = constraint;
  const { labelSelector, matchLabelKeys = [] } = constraint;
  const causes: FieldCause[] = [];
  if (maxSkew <= 0) causes.push(invalid(`${at}.maxSkew`, maxSkew, "must be greater than zero"));
  if (topologyKey === "") causes.push(required(`${at}.topologyKey`, "can not be empty"));
  const actions = ["DoNotSchedule", "ScheduleAnyway"];
  if (!actions.includes(whenUnsatisfiable)) {
    causes.push(notSupported(`${at}.whenUnsatisfiable`, whenUnsatisfiable, actions));
  }
  causes.push(...twice);
  if (minDomains !== undefined && minDomains <= 0) {
    causes.push(invalid(`${at}.minDomains`, minDomains, "must be greater than zero"));
  }
  if (minDomains !== undefined && whenUnsatisfiable !== "DoNotSchedule") {
    const detail = `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${whenUnsatisfiable}`;
    causes.push(invalid(`${at}.minDomains`, minDomains, detail));
  }
  for (const name of ["nodeAffinityPolicy", "nodeTaintsPolicy"] as const) {
    causes.push(...oneOf(constraint[name], ["Honor", "Ignore"], `${at}.${name}`));
  }
  const keys = `${at}.matchLabelKeys`;
  causes.push(...validateKeys(matchLabelKeys, labelSelector, keys));
  const selected = new Set([
    ...Object.keys(labelSelector?.matchLabels ?? {}),
    ...(labelSelector?.matchExpressions ?? []).map(({ key }) => key),
  ]);
  matchLabelKeys.forEach((key, index) => {
    if (selected.has(key)) causes.push(invalid(`${keys}[${index}]`, key, inSelector));
  });
  if (labelSelector !== undefined) {
    causes.push(...validateLabelSelector(labelSelector, `${at}.labelSelector`));
  }
  return causes;
}
