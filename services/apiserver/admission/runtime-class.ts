import type { Pod } from "../../../proto/gen/core.ts";
import { forbidden } from "../errors.ts";
import type { AdmissionPlugin } from "./chain.ts";

/** A pod names only runtime classes that exist (upstream's RuntimeClass); so far there are none. */
export const runtimeClass: AdmissionPlugin = {
  name: "runtime-class",
  resources: ["pods"],
  operations: ["create"],
  validate({ resource, name, document }) {
    const { runtimeClassName } = ((document ?? {}) as Pod).spec ?? {};
    if (runtimeClassName === undefined) return;
    const quoted = JSON.stringify(runtimeClassName);
    throw forbidden(resource, name, `pod rejected: RuntimeClass ${quoted} not found`);
  },
};
