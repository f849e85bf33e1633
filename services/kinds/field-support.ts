/** What becomes of every field of every built-in kind, and the warnings that follow from it. */
import { admissionRegistrationFields } from "./admissionregistration/fields.ts";
import { apiextensionsFields } from "./apiextensions/fields.ts";
import { apiRegistrationFields } from "./apiregistration/fields.ts";
import { appsFields } from "./apps/fields.ts";
import { authenticationFields } from "./authentication/fields.ts";
import { authorizationFields } from "./authorization/fields.ts";
import { autoscalingFields } from "./autoscaling/fields.ts";
import { batchFields } from "./batch/fields.ts";
import { certificatesFields } from "./certificates/fields.ts";
import { coordinationFields } from "./coordination/fields.ts";
import { coreFields } from "./core/fields.ts";
import { containerFields } from "./core/pod/container-fields.ts";
import { podSpecFields } from "./core/pod/spec-fields.ts";
import { podStatusFields } from "./core/pod/status-fields.ts";
import { discoveryFields } from "./discovery/fields.ts";
import { eventsFields } from "./events/fields.ts";
import { flowControlFields } from "./flowcontrol/fields.ts";
import { FieldWarnings, type SupportTable } from "./machinery/field-support.ts";
import { metaFields } from "./machinery/meta-fields.ts";
import type { Document } from "./machinery/resource.ts";
import { metricsFields } from "./metrics/fields.ts";
import { networkingFields } from "./networking/fields.ts";
import { nodeFields } from "./node/fields.ts";
import { policyFields } from "./policy/fields.ts";
import { rbacFields } from "./rbac/fields.ts";
import { resourceFields } from "./resource/fields.ts";
import { schedulingFields } from "./scheduling/fields.ts";
import { storageFields } from "./storage/fields.ts";

export const fieldSupport: SupportTable = {
  ...metaFields,
  ...coreFields,
  ...podSpecFields,
  ...containerFields,
  ...podStatusFields,
  ...appsFields,
  ...batchFields,
  ...apiextensionsFields,
  ...policyFields,
  ...autoscalingFields,
  ...coordinationFields,
  ...flowControlFields,
  ...nodeFields,
  ...authenticationFields,
  ...authorizationFields,
  ...rbacFields,
  ...schedulingFields,
  ...resourceFields,
  ...discoveryFields,
  ...storageFields,
  ...networkingFields,
  ...admissionRegistrationFields,
  ...certificatesFields,
  ...eventsFields,
  ...apiRegistrationFields,
  ...metricsFields,
};

const warnings = new FieldWarnings(fieldSupport);

/**
 * What the caller must be told about a document, or the options of a request: fields that are
 * accepted and have no effect. `message` is the full name of its message; an unknown one (a kind
 * added at run time) gives no warnings.
 */
export function fieldWarnings(message: string | undefined, document: Document | object): string[] {
  if (message === undefined) return [];
  return warnings.of(message, document as Record<string, unknown>);
}
