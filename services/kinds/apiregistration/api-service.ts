import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  APIService,
  type APIServiceSpec,
  APIServicesService,
} from "../../../proto/gen/apiregistration.ts";
import { forbidden, invalid, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { wrong } from "../machinery/field-rules.ts";
import { checkServiceName, checkSubdomain } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";

const groupPriorityMax = 20_000;
const versionPriorityMax = 1_000;

const specOf = (document: Document): APIServiceSpec => (document as APIService).spec ?? {};

export const apiService = defineKind({
  message: "trireme.apiregistration.v1.APIService",
  codec: APIService,
  service: APIServicesService,
  countsGenerations: false,
  allowUnconditionalUpdate: false,
  categories: ["api-extensions"],
  nameRule: "path",
  stored: false,

  setDefaults(document) {
    const { service } = specOf(document);
    if (service !== undefined) service.port ??= 443;
  },
  validate: (document) => validateSpec(specOf(document), document.metadata?.name ?? ""),
  columns: [
    nameColumn,
    { name: "Service", value: (document) => serviceText(specOf(document)) },
    { name: "Available", value: availableText },
    ageColumn,
  ],
});

function serviceText({ service }: APIServiceSpec): string {
  return service === undefined ? "Local" : `${service.namespace ?? ""}/${service.name ?? ""}`;
}

function availableText(document: Document): string {
  const { conditions = [] } = (document as APIService).status ?? {};
  const found = conditions.find(({ type }) => type === "Available");
  if (found === undefined) return "Unknown";
  return found.status === "True" ? "True" : `${found.status} (${found.reason ?? ""})`;
}

function validateSpec(spec: APIServiceSpec, name: string): FieldCause[] {
  const { group = "", version = "", groupPriorityMinimum = 0, versionPriority = 0 } = spec;
  const causes: FieldCause[] = [];
  const wanted = `${version}.${group}`;
  if (name !== wanted) {
    const detail = `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(wanted)}`;
    causes.push(invalid("metadata.name", name, detail));
  }
  if (group !== "") causes.push(...wrong("spec.group", group, checkSubdomain(group)));
  else if (version !== "v1") {
    const detail = "only v1 may have an empty group and it better be legacy kube";
    causes.push(required("spec.group", detail));
  }
  causes.push(...wrong("spec.version", version, checkServiceName(version)));
  if (groupPriorityMinimum <= 0 || groupPriorityMinimum > groupPriorityMax) {
    const detail = `must be positive and less than ${groupPriorityMax}`;
    causes.push(invalid("spec.groupPriorityMinimum", groupPriorityMinimum, detail));
  }
  if (versionPriority <= 0 || versionPriority > versionPriorityMax) {
    const detail = `must be positive and less than ${versionPriorityMax}`;
    causes.push(invalid("spec.versionPriority", versionPriority, detail));
  }
  if (spec.service === undefined) return causes;
  const detail = "this apiserver serves every group itself and passes no requests on to a service";
  return [...causes, forbidden("spec.service", detail)];
}
