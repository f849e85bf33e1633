import { ComponentStatus, ComponentStatusesService } from "../../../proto/gen/core.ts";
import { defineKind, nameColumn } from "../machinery/define.ts";
import type { Document } from "../machinery/resource.ts";

const healthOf = (document: Document) =>
  (document as ComponentStatus).conditions?.find(({ type }) => type === "Healthy") ?? {};

export const componentStatus = defineKind({
  message: "trireme.core.v1.ComponentStatus",
  codec: ComponentStatus,
  service: ComponentStatusesService,
  shortNames: ["cs"],
  stored: false,
  deprecationWarning: "v1 ComponentStatus is deprecated in v1.19+",
  columns: [
    nameColumn,
    {
      name: "Status",
      value: (document) => {
        const { status = "Unknown" } = healthOf(document);
        return { True: "Healthy", False: "Unhealthy" }[status] ?? "Unknown";
      },
    },
    { name: "Message", value: (document) => healthOf(document).message ?? "" },
    { name: "Error", value: (document) => healthOf(document).error ?? "" },
  ],
});
