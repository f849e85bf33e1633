import { ClusterRoleBinding, ClusterRoleBindingsService } from "../../../proto/gen/rbac.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import {
  roleColumn,
  setBindingDefaults,
  subjectColumns,
  validateBinding,
  validateBindingUpdate,
} from "./rules.ts";

export const clusterRoleBinding = defineKind({
  message: "trireme.rbac.v1.ClusterRoleBinding",
  codec: ClusterRoleBinding,
  service: ClusterRoleBindingsService,
  createOnUpdate: true,
  nameRule: "path",

  setDefaults: setBindingDefaults,
  validate: (document) => validateBinding(document, false, ["ClusterRole"]),
  validateUpdate: validateBindingUpdate,
  columns: [nameColumn, roleColumn, ageColumn, ...subjectColumns],
});
