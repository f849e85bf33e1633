import { isIP } from "node:net";
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  type HTTPIngressPath,
  Ingress,
  type IngressBackend,
  IngressesService,
  type IngressLoadBalancerIngress,
  type IngressRule,
  type IngressSpec,
  type IngressTLS,
} from "../../../proto/gen/networking.ts";
import { nameWanted, validateBalancerPlace } from "../core/load-balancer-status.ts";
import { invalid, notSupported, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { wrong } from "../machinery/field-rules.ts";
import {
  checkPort,
  checkPortName,
  checkServiceName,
  checkSubdomain,
  checkWildcardSubdomain,
} from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";
import { validateReference } from "./reference.ts";

const classAnnotation = "kubernetes.io/ingress.class";
const pathTypes = ["Exact", "ImplementationSpecific", "Prefix"];
const pathSequences = ["//", "/./", "/../", "%2f", "%2F"];
const pathEnds = ["/..", "/."];
const hostsMax = 3;

const specOf = (document: Document): IngressSpec => (document as Ingress).spec ?? {};
const addressesOf = (document: Document): IngressLoadBalancerIngress[] =>
  (document as Ingress).status?.loadBalancer?.ingress ?? [];

export const ingress = defineKind({
  message: "trireme.networking.v1.Ingress",
  codec: Ingress,
  service: IngressesService,
  shortNames: ["ing"],

  setDefaults(document) {
    const ingress = document as Ingress;
    ingress.status ??= {};
    ingress.status.loadBalancer ??= {};
  },
  validate(document) {
    const spec = specOf(document);
    return [...validateSpec(spec), ...addressesOf(document).flatMap(validateBalancerPlace)];
  },
  columns: [
    nameColumn,
    { name: "Class", value: classText },
    { name: "Hosts", value: (document) => hostsText(specOf(document).rules ?? []) },
    {
      name: "Address",
      value: (document) =>
        [...new Set(addressesOf(document).map(({ ip, hostname }) => ip || hostname || ""))]
          .sort()
          .join(","),
    },
    {
      name: "Ports",
      value: (document) => ((specOf(document).tls ?? []).length > 0 ? "80, 443" : "80"),
    },
    ageColumn,
  ],
});

function classText(document: Document): string {
  return (
    specOf(document).ingressClassName ??
    document.metadata?.annotations?.[classAnnotation] ??
    "<none>"
  );
}

function hostsText(rules: readonly IngressRule[]): string {
  const hosts = rules.map(({ host }) => host ?? "").filter((host) => host !== "");
  if (hosts.length === 0) return "*";
  const shown = hosts.slice(0, hostsMax).join(",");
  return hosts.length > hostsMax ? `${shown} + ${rules.length - hostsMax} more...` : shown;
}

function validateSpec(spec: IngressSpec): FieldCause[] {
  const { rules = [], defaultBackend, tls = [], ingressClassName } = spec;
  const causes: FieldCause[] = [];
  if (rules.length === 0 && defaultBackend === undefined) {
    const detail = "either `defaultBackend` or `rules` must be specified";
    causes.push(invalid("spec", spec.rules, detail));
  }
  if (defaultBackend !== undefined) {
    causes.push(...validateBackend(defaultBackend, "spec.defaultBackend"));
  }
  causes.push(
    ...rules.flatMap((rule, index) => validateRule(rule, `spec.rules[${index}]`)),
    ...tls.flatMap((one, index) => validateTls(one, `spec.tls[${index}]`)),
  );
  if (ingressClassName === undefined) return causes;
  const field = "spec.ingressClassName";
  return [...causes, ...wrong(field, ingressClassName, checkSubdomain(ingressClassName))];
}

function validateTls({ hosts = [], secretName = "" }: IngressTLS, at: string): FieldCause[] {
  const causes = hosts.flatMap((host, index) =>
    wrong(`${at}.hosts[${index}]`, host, checkHost(host)),
  );
  if (secretName === "") return causes;
  return [...causes, ...wrong(`${at}.secretName`, secretName, checkSubdomain(secretName))];
}

function checkHost(host: string): string[] {
  return host.includes("*") ? checkWildcardSubdomain(host) : checkSubdomain(host);
}

function validateRule({ host = "", http }: IngressRule, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (host !== "") {
    if (isIP(host) !== 0) causes.push(invalid(`${at}.host`, host, nameWanted));
    causes.push(...wrong(`${at}.host`, host, checkHost(host)));
  }
  if (http === undefined) return causes;
  const { paths = [] } = http;
  if (paths.length === 0) causes.push(required(`${at}.http.paths`));
  return [
    ...causes,
    ...paths.flatMap((path, index) => validatePath(path, `${at}.http.paths[${index}]`)),
  ];
}

function validatePath(one: HTTPIngressPath, at: string): FieldCause[] {
  const { path = "", pathType, backend = {} } = one;
  if (pathType === undefined) return [required(`${at}.pathType`, "pathType must be specified")];
  const problems: string[] = [];
  const causes: FieldCause[] = [];
  if (!pathTypes.includes(pathType)) {
    causes.push(notSupported(`${at}.pathType`, pathType, pathTypes));
  } else if (!path.startsWith("/") && (path !== "" || pathType !== "ImplementationSpecific")) {
    problems.push("must be an absolute path");
  }
  if (pathType === "Exact" || pathType === "Prefix") {
    for (const sequence of pathSequences) {
      if (path.includes(sequence)) problems.push(`must not contain '${sequence}'`);
    }
    for (const end of pathEnds) if (path.endsWith(end)) problems.push(`cannot end with '${end}'`);
  }
  return [
    ...wrong(`${at}.path`, path, problems),
    ...causes,
    ...validateBackend(backend, `${at}.backend`),
  ];
}

function validateBackend({ service, resource }: IngressBackend, at: string): FieldCause[] {
  if (service !== undefined && resource !== undefined) {
    return [invalid(at, "", "cannot set both resource and service backends")];
  }
  if (resource !== undefined) return validateReference(resource, `${at}.resource`);
  if (service === undefined) return [invalid(at, "", "resource or service backend is required")];
  const { name = "", port = {} } = service;
  const field = `${at}.service.name`;
  const causes = name === "" ? [required(field)] : wrong(field, name, checkServiceName(name));
  const { name: portName = "", number = 0 } = port;
  if (portName !== "" && number !== 0) {
    causes.push(invalid(at, "", "cannot set both port name & port number"));
  } else if (portName !== "") {
    causes.push(...wrong(`${at}.service.port.name`, portName, checkPortName(portName)));
  } else if (number !== 0) {
    causes.push(...wrong(`${at}.service.port.number`, number, checkPort(number)));
  } else causes.push(required(at, "port name or number is required"));
  return causes;
}
