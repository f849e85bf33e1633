import { RoleBinding, RoleBindingsService } from "../../../proto/gen/rbac.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import {
  roleColumn,
  setBindingDefaults,
  subjectColumns,
  validateBinding,
  validateBindingUpdate,
} from "./rules.ts";

export const roleBinding = defineKind({
  message: "trireme.rbac.v1.RoleBinding",
  codec: RoleBinding,
  service: RoleBindingsService,
  createOnUpdate: true,
  nameRule: "path",

  setDefaults: setBindingDefaults,
  validate: (document) => validateBinding(document, true, ["Role", "ClusterRole"]),
  validateUpdate: validateBindingUpdate,
  columns: [nameColumn, roleColumn, ageColumn, ...subjectColumns],
});
