import { ServiceAccount, ServiceAccountsService } from "../../../proto/gen/core.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";

export const serviceAccount = defineKind({
  message: "trireme.core.v1.ServiceAccount",
  codec: ServiceAccount,
  service: ServiceAccountsService,
  shortNames: ["sa"],

  columns: [
    nameColumn,
    {
      name: "Secrets",
      description: "Number of secrets that it names.",
      value: (document) => ((document as ServiceAccount).secrets ?? []).length,
    },
    ageColumn,
  ],
});
