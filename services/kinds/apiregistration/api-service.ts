import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  APIService,
  type APIServiceSpec,
  APIServicesService,
} from "../../../proto/gen/apiregistration.ts";
import { forbidden, invalid, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { wrong } from "../machinery/field-rules.ts";
import {
  checkPathSegment,
  checkPort,
  checkServiceName,
  checkSubdomain,
} from "../machinery/names.ts";
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
  // A name that is missing or no name at all is refused as such.
  if (name !== wanted && name !== "" && checkPathSegment(name).length === 0) {
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
  const secured = validateBackend(spec);
  if (causes.length + secured.length > 0 || spec.service === undefined) {
    return [...causes, ...secured];
  }
  const detail = "this apiserver serves every group itself and passes no requests on to a service";
  return [forbidden("spec.service", detail)];
}

/** Who serves the group, and how far its server is trusted. */
function validateBackend(spec: APIServiceSpec): FieldCause[] {
  const { service, caBundle = "", insecureSkipTLSVerify: insecure = false } = spec;
  const causes: FieldCause[] = [];
  const field = "spec.insecureSkipTLSVerify";
  if (service === undefined) {
    if (caBundle !== "") {
      const size = `${Buffer.byteLength(caBundle, "base64")} bytes`;
      causes.push(invalid("spec.caBundle", size, "local APIServices may not have a caBundle"));
    }
    const detail = "local APIServices may not have insecureSkipTLSVerify";
    return insecure ? [...causes, invalid(field, insecure, detail)] : causes;
  }
  const { namespace = "", name = "", port = 0 } = service;
  if (namespace === "") causes.push(required("spec.service.namespace"));
  if (name === "") causes.push(required("spec.service.name"));
  const problems = checkPort(port);
  if (problems.length > 0) {
    const detail = `port is not valid: ${problems.join(", ")}`;
    causes.push(invalid("spec.service.port", port, detail));
  }
  if (insecure && caBundle !== "") {
    causes.push(invalid(field, insecure, "may not be true if caBundle is present"));
  }
  return causes;
}
