import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  IngressClass,
  IngressClassesService,
  type IngressClassParametersReference,
  type IngressClassSpec,
} from "../../../proto/gen/networking.ts";
import { forbidden, invalid, notSupported, required, tooLong } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { unchanged, wrong } from "../machinery/field-rules.ts";
import { allButMetadata } from "../machinery/generation.ts";
import { checkLabelName, checkSubdomain } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";
import { validateReference } from "./reference.ts";

const controllerLengthMax = 250;
const scopes = ["Cluster", "Namespace"];
const pathPattern = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";
const pathSyntax = new RegExp(`^${pathPattern}$`);

const specOf = (document: Document): IngressClassSpec => (document as IngressClass).spec ?? {};

export const ingressClass = defineKind({
  message: "trireme.networking.v1.IngressClass",
  codec: IngressClass,
  service: IngressClassesService,

  setDefaults(document) {
    const { parameters } = specOf(document);
    if (parameters !== undefined) parameters.scope ??= "Cluster";
  },
  desiredState: allButMetadata,
  validate(document) {
    const { controller = "", parameters } = specOf(document);
    const causes =
      controller.length > controllerLengthMax
        ? [tooLong("spec.controller", controllerLengthMax)]
        : [];
    causes.push(...validateDomainPath(controller, "spec.controller"));
    return parameters === undefined ? causes : [...causes, ...validateParameters(parameters)];
  },
  validateUpdate: (next, stored) =>
    unchanged("spec.controller", specOf(next).controller, specOf(stored).controller),
  columns: [
    nameColumn,
    { name: "Controller", value: (document) => specOf(document).controller ?? "" },
    { name: "Parameters", value: (document) => parametersText(specOf(document).parameters) },
    ageColumn,
  ],
});

function parametersText(parameters: IngressClassParametersReference | undefined): string {
  if (parameters === undefined) return "<none>";
  const { apiGroup, kind = "", name = "" } = parameters;
  return `${apiGroup === undefined ? kind : `${kind}.${apiGroup}`}/${name}`;
}

/** A domain and a path, e.g. `example.com/ingress` (apimachinery `IsDomainPrefixedPath`). */
function validateDomainPath(text: string, field: string): FieldCause[] {
  if (text === "") return [required(field)];
  const slash = text.indexOf("/");
  const [host, path] = [text.slice(0, Math.max(slash, 0)), text.slice(slash + 1)];
  if (host === "" || path === "") {
    return [invalid(field, text, 'must be a domain-prefixed path (such as "acme.io/foo")')];
  }
  const causes = wrong(field, host, checkSubdomain(host));
  if (pathSyntax.test(path)) return causes;
  const detail = `Invalid path (regex used for validation is '${pathPattern}')`;
  return [...causes, invalid(field, path, detail)];
}

function validateParameters(parameters: IngressClassParametersReference): FieldCause[] {
  const at = "spec.parameters";
  const causes = validateReference(parameters, at);
  const { scope = "", namespace } = parameters;
  if (!scopes.includes(scope)) return [...causes, notSupported(`${at}.scope`, scope, scopes)];
  const field = `${at}.namespace`;
  if (scope === "Cluster") {
    if (namespace !== undefined) {
      causes.push(forbidden(field, "`parameters.scope` is set to 'Cluster'"));
    }
    return causes;
  }
  if (namespace === undefined) {
    return [...causes, required(field, "`parameters.scope` is set to 'Namespace'")];
  }
  return [...causes, ...wrong(field, namespace, checkLabelName(namespace))];
}
