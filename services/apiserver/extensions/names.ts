/**
 * Which names a definition gets, and what its conditions say of it (apiextensions-apiserver
 * `controller/status`, `controller/establish`). Pure: the loop around it reads and writes.
 */
import type {
  CustomResourceDefinition,
  CustomResourceDefinitionNames,
  CustomResourceDefinitionStatus,
} from "../../../proto/gen/apiextensions.ts";
import { compiledSchema } from "../../kinds/apiextensions/custom-resource-definition/schemas.ts";
import { equalJson } from "../../kinds/machinery/json.ts";
import { type Condition, conditionOf, withCondition, withoutCondition } from "../../kinds/mod.ts";

/** Names that others of the group have, from the API itself or by their definitions. */
export interface UsedNames {
  /** Plurals, singulars and short names. */
  readonly resources: ReadonlySet<string>;
  /** Kinds and kinds of lists. */
  readonly kinds: ReadonlySet<string>;
}

/** What the status of a definition ought to be; the very same object: as it is. */
export function statusOf(
  definition: CustomResourceDefinition,
  used: UsedNames,
  now: number,
): CustomResourceDefinitionStatus {
  const { spec = {}, status = {}, metadata } = definition;
  const { accepted, problem } = acceptNames(spec.names ?? {}, status.acceptedNames ?? {}, used);
  let conditions = withCondition(status.conditions, namesCondition(problem), now);
  const established = conditionOf(status.conditions, "Established");
  if (established?.status !== "True" && metadata?.deletionTimestamp === undefined) {
    conditions = withCondition(conditions, establishedCondition(problem), now);
  }
  const violations = violationsOf(definition);
  conditions =
    violations === undefined
      ? withoutCondition(conditions, "NonStructuralSchema")
      : withCondition(conditions, violations, now);
  const approval = approvalOf(definition);
  if (approval !== undefined) conditions = withCondition(conditions, approval, now);
  const next = { ...status, acceptedNames: accepted, conditions };
  return equalJson(next, status) ? status : next;
}

interface Problem {
  readonly reason: string;
  readonly message: string;
}

function acceptNames(
  wanted: CustomResourceDefinitionNames,
  present: CustomResourceDefinitionNames,
  used: UsedNames,
): { readonly accepted: CustomResourceDefinitionNames; readonly problem: Problem | undefined } {
  const accepted: CustomResourceDefinitionNames = { ...present };
  let problem: Problem | undefined;
  const refuse = (reason: string, names: readonly string[]): void => {
    const texts = names.map((name) => `${JSON.stringify(name)} is already in use`);
    const message = texts.length === 1 ? (texts[0] ?? "") : `[${texts.join(", ")}]`;
    problem = { reason, message };
  };
  const take = (
    field: "plural" | "singular" | "kind" | "listKind",
    reason: string,
    taken: ReadonlySet<string>,
  ): void => {
    const name = wanted[field] ?? "";
    if (name !== (present[field] ?? "") && taken.has(name)) refuse(reason, [name]);
    else accepted[field] = name;
  };
  // The last conflict is the one that is told, as upstream has it.
  take("plural", "PluralConflict", used.resources);
  take("singular", "SingularConflict", used.resources);
  const before = new Set(present.shortNames);
  const conflicts = (wanted.shortNames ?? []).filter(
    (name) => !before.has(name) && used.resources.has(name),
  );
  if (conflicts.length > 0) refuse("ShortNamesConflict", conflicts);
  else if (wanted.shortNames === undefined) delete accepted.shortNames;
  else accepted.shortNames = wanted.shortNames;
  take("kind", "KindConflict", used.kinds);
  take("listKind", "ListKindConflict", used.kinds);
  if (wanted.categories === undefined) delete accepted.categories;
  else accepted.categories = wanted.categories;
  return { accepted, problem };
}

function namesCondition(problem: Problem | undefined): Condition {
  if (problem !== undefined) return { type: "NamesAccepted", status: "False", ...problem };
  return {
    type: "NamesAccepted",
    status: "True",
    reason: "NoConflicts",
    message: "no conflicts found",
  };
}

function establishedCondition(problem: Problem | undefined): Condition {
  const type = "Established";
  if (problem !== undefined) {
    const message = "not all names are accepted";
    return { type, status: "False", reason: "NotAccepted", message };
  }
  const message = "the initial names have been accepted";
  return { type, status: "True", reason: "InitialNamesAccepted", message };
}

/** Of a definition that came into the store without being validated. */
function violationsOf({ spec = {} }: CustomResourceDefinition): Condition | undefined {
  const problems = (spec.versions ?? []).flatMap(({ schema }, index) =>
    compiledSchema(schema?.openAPIV3Schema).problems(
      `spec.versions[${index}].schema.openAPIV3Schema`,
    ),
  );
  if (problems.length === 0) return undefined;
  const shown = problems.slice(0, 5).map(({ field, message }) => `${field}: ${message}`);
  const message = shown.length === 1 ? (shown[0] ?? "") : `[${shown.join(", ")}]`;
  return { type: "NonStructuralSchema", status: "True", reason: "Violations", message };
}

function approvalOf({ metadata, spec }: CustomResourceDefinition): Condition | undefined {
  if (!/(^|\.)(k8s|kubernetes)\.io$/.test(spec?.group ?? "")) return undefined;
  const type = "KubernetesAPIApprovalPolicyConformant";
  const annotation = metadata?.annotations?.["api-approved.kubernetes.io"] ?? "";
  if (annotation.startsWith("unapproved")) {
    const message = `not approved: "${annotation}"`;
    return { type, status: "False", reason: "UnapprovedAnnotation", message };
  }
  const message = `approved in ${annotation}`;
  return { type, status: "True", reason: "ApprovedAnnotation", message };
}
