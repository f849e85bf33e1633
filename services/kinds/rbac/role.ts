import { Role, RolesService } from "../../../proto/gen/rbac.ts";
import { createdColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { validateRules } from "./rules.ts";

export const role = defineKind({
  message: "trireme.rbac.v1.Role",
  codec: Role,
  service: RolesService,
  createOnUpdate: true,
  nameRule: "path",

  validate: (document) => validateRules((document as Role).rules ?? [], true),
  columns: [nameColumn, createdColumn],
});
