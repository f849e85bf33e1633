import { DeviceClass, DeviceClassesService } from "../../../proto/gen/resource.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import type { Document } from "../machinery/resource.ts";
import { configsMax, each, validateConfiguration, validateSelectors } from "./checks.ts";

const specOf = (document: Document | undefined): NonNullable<DeviceClass["spec"]> =>
  (document as DeviceClass | undefined)?.spec ?? {};

export const deviceClass = defineKind({
  message: "trireme.resource.v1.DeviceClass",
  codec: DeviceClass,
  service: DeviceClassesService,

  desiredState: specOf,
  validate(document, stored) {
    const { selectors, config } = specOf(document);
    return [
      ...validateSelectors(selectors, "spec.selectors", specOf(stored).selectors),
      ...each(config, configsMax, "spec.config", ({ opaque }, at) =>
        validateConfiguration(opaque, at),
      ),
    ];
  },
  columns: [nameColumn, ageColumn],
});
