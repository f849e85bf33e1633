import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { ClusterRole, ClusterRolesService } from "../../../proto/gen/rbac.ts";
import { invalid, required } from "../machinery/causes.ts";
import { createdColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { validateLabelSelector } from "../machinery/label-selector.ts";
import { validateRules } from "./rules.ts";

export const clusterRole = defineKind({
  message: "trireme.rbac.v1.ClusterRole",
  codec: ClusterRole,
  service: ClusterRolesService,
  createOnUpdate: true,
  nameRule: "path",

  validate(document) {
    const { rules = [], aggregationRule } = document as ClusterRole;
    return [...validateRules(rules, false), ...validateAggregation(aggregationRule)];
  },
  columns: [nameColumn, createdColumn],
});

function validateAggregation(aggregation: ClusterRole["aggregationRule"]): FieldCause[] {
  if (aggregation === undefined) return [];
  const path = "aggregationRule.clusterRoleSelectors";
  const selectors = aggregation.clusterRoleSelectors ?? [];
  if (selectors.length === 0) {
    const detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
    return [required(path, detail)];
  }
  return selectors.flatMap((selector, index) => {
    const at = `${path}[${index}]`;
    const causes = validateLabelSelector(selector, at);
    return causes.length === 0 ? [] : [...causes, invalid(at, null, "invalid label selector.")];
  });
}
