import { Binding, BindingsService } from "../../../proto/gen/core.ts";
import { defineKind } from "../machinery/define.ts";

/** The older way to assign a pod to a node, beside the pod's own subresource of the same name. */
export const binding = defineKind({
  message: "trireme.core.v1.Binding",
  codec: Binding,
  service: BindingsService,
  stored: false,
  answersStatus: true,
  columns: [],
});
