import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  Service,
  type ServicePort,
  type ServiceSpec,
  ServicesService,
} from "../../../proto/gen/core.ts";
import { duplicate, forbidden, invalid, required } from "../machinery/causes.ts";
import { checkCidr } from "../machinery/cidr.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { wrong } from "../machinery/field-rules.ts";
import { validateLabels } from "../machinery/metadata.ts";
import { checkAddress, checkLabelName, checkSubdomain } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";
import { oneOf } from "./pod/field-checks.ts";
import { protocols, validatePort, validatePortReference } from "./pod/port-validation.ts";

const distributions = ["PreferClose", "PreferSameNode", "PreferSameZone"];
const types = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];
const affinitySecondsDefault = 10_800;
const affinitySecondsMax = 86_400;
const headless = "None";

const specOf = (document: Document): ServiceSpec => (document as Service).spec ?? {};

export const service = defineKind({
  message: "trireme.core.v1.Service",
  codec: Service,
  service: ServicesService,
  countsGenerations: false,
  shortNames: ["svc"],
  categories: ["all"],
  nameRule: "service",

  setDefaults(document) {
    const service = document as Service;
    service.spec ??= {};
    setSpecDefaults(service.spec);
    service.status ??= {};
    service.status.loadBalancer ??= {};
  },
  warnings(document) {
    const { clusterIP, externalIPs = [], loadBalancerIP = "", sessionAffinity } = specOf(document);
    if (clusterIP !== headless) return [];
    const ignored = {
      loadBalancerIP: loadBalancerIP !== "",
      externalIPs: externalIPs.length > 0,
      SessionAffinity: sessionAffinity !== "None",
    };
    return Object.entries(ignored).flatMap(([field, given]) =>
      given ? [`spec.${field} is ignored for headless services`] : [],
    );
  },
  validate: (document) => validateSpec(specOf(document)),
  validateUpdate(next, stored) {
    const [spec, before] = [specOf(next), specOf(stored)];
    const given = before.clusterIP ?? "";
    if (spec.type === "ExternalName" || before.type === "ExternalName") return [];
    if (given === "" || spec.clusterIP === given) return [];
    return [invalid("spec.clusterIP", spec.clusterIP ?? "", "field is immutable")];
  },
  selectableFields: {
    "spec.clusterIP": (document) => specOf(document).clusterIP ?? "",
    "spec.type": (document) => specOf(document).type ?? "",
  },
  columns: [
    nameColumn,
    {
      name: "Type",
      description: "ClusterIP, NodePort, LoadBalancer or ExternalName.",
      value: (document) => specOf(document).type ?? "",
    },
    {
      name: "Cluster-IP",
      description: "The address of the service within the cluster.",
      value: (document) => specOf(document).clusterIP || "<none>",
    },
    {
      name: "External-IP",
      description: "Addresses outside of the cluster that lead to it.",
      value: (document) => externalAddress(document as Service),
    },
    {
      name: "Port(s)",
      description: "Ports, with their node ports and protocols.",
      value: (document) => portsText(specOf(document).ports ?? []),
    },
    ageColumn,
    {
      name: "Selector",
      description: "Labels of the pods behind it.",
      wide: true,
      value: (document) => {
        const labels = Object.entries(specOf(document).selector ?? {});
        labels.sort(([left], [right]) => (left < right ? -1 : 1));
        return labels.map(([key, value]) => `${key}=${value}`).join(",") || "<none>";
      },
    },
  ],
});

function setSpecDefaults(spec: ServiceSpec): void {
  spec.type ??= "ClusterIP";
  spec.sessionAffinity ??= "None";
  if (spec.sessionAffinity === "None") delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === "ClientIP") {
    spec.sessionAffinityConfig ??= {};
    spec.sessionAffinityConfig.clientIP ??= {};
    spec.sessionAffinityConfig.clientIP.timeoutSeconds ??= affinitySecondsDefault;
  }
  for (const port of spec.ports ?? []) {
    port.protocol ??= "TCP";
    if (isUnset(port.targetPort) && port.port !== undefined) port.targetPort = port.port;
  }
  if (spec.type === "ExternalName") return;
  spec.internalTrafficPolicy ??= "Cluster";
  if (isReachedFromOutside(spec)) spec.externalTrafficPolicy ??= "Cluster";
  if (spec.type === "LoadBalancer") spec.allocateLoadBalancerNodePorts ??= true;
}

/** Whether traffic from outside the cluster has an address to go to (`ExternallyAccessible`). */
export function isReachedFromOutside({ type, externalIPs }: ServiceSpec): boolean {
  if (type === "NodePort" || type === "LoadBalancer") return true;
  return type === "ClusterIP" && (externalIPs ?? []).length > 0;
}

function isUnset(port: unknown): boolean {
  return port === undefined || port === 0 || port === "";
}

function validateSpec(spec: ServiceSpec): FieldCause[] {
  const causes = [
    ...oneOf(spec.type ?? "", types, "spec.type"),
    ...oneOf(spec.sessionAffinity ?? "", ["ClientIP", "None"], "spec.sessionAffinity"),
    ...oneOf(spec.internalTrafficPolicy, ["Cluster", "Local"], "spec.internalTrafficPolicy"),
    ...oneOf(spec.externalTrafficPolicy, ["Cluster", "Local"], "spec.externalTrafficPolicy"),
    ...oneOf(
      spec.ipFamilyPolicy,
      ["SingleStack", "PreferDualStack", "RequireDualStack"],
      "spec.ipFamilyPolicy",
    ),
    ...validateLabels(spec.selector, "spec.selector"),
    ...validateAddresses(spec),
    ...validatePorts(spec),
  ];
  const policy = spec.externalTrafficPolicy ?? "";
  if (policy !== "" && !isReachedFromOutside(spec)) {
    const detail = "may only be set for externally-accessible services";
    causes.push(invalid("spec.externalTrafficPolicy", policy, detail));
  }
  const check = spec.healthCheckNodePort ?? 0;
  if (check !== 0 && !(spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local")) {
    const detail =
      "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    causes.push(invalid("spec.healthCheckNodePort", check, detail));
  }
  causes.push(...validateSourceRanges(spec));
  const distribution = spec.trafficDistribution;
  if (distribution !== undefined) {
    causes.push(...oneOf(distribution, distributions, "spec.trafficDistribution"));
  }
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (seconds !== undefined && (seconds < 1 || seconds > affinitySecondsMax)) {
    const detail = `must be greater than 0 and less than ${affinitySecondsMax}`;
    const field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
    causes.push(invalid(field, seconds, detail));
  }
  return causes;
}

function validateSourceRanges({ type, loadBalancerSourceRanges = [] }: ServiceSpec): FieldCause[] {
  if (loadBalancerSourceRanges.length === 0) return [];
  const field = "spec.loadBalancerSourceRanges";
  if (type !== "LoadBalancer") {
    return [forbidden(field, "may only be used when `type` is 'LoadBalancer'")];
  }
  return loadBalancerSourceRanges.flatMap((range, index) =>
    wrong(`${field}[${index}]`, range, checkCidr(range.trim())),
  );
}

function validateAddresses(spec: ServiceSpec): FieldCause[] {
  const causes: FieldCause[] = [];
  const { clusterIP = "", clusterIPs = [], externalName = "" } = spec;
  if (spec.type === "ExternalName") {
    if (clusterIP !== "" && clusterIP !== headless) {
      const detail = "may not be set when `type` is 'ExternalName'";
      causes.push(forbidden("spec.clusterIP", detail));
    }
    const name = externalName.replace(/\.$/, "");
    if (name === "") causes.push(required("spec.externalName"));
    else {
      for (const problem of checkSubdomain(name)) {
        causes.push(invalid("spec.externalName", externalName, problem));
      }
    }
  } else if (clusterIP !== "" && clusterIP !== headless && checkAddress(clusterIP).length > 0) {
    const detail = "must be empty, 'None', or a valid IP address";
    causes.push(invalid("spec.clusterIP", clusterIP, detail));
  }
  if (clusterIP === headless && (spec.type === "NodePort" || spec.type === "LoadBalancer")) {
    const detail = `may not be set to 'None' for ${spec.type} services`;
    causes.push(invalid("spec.clusterIP", clusterIP, detail));
  }
  if (clusterIPs.length > 0 && clusterIPs[0] !== clusterIP) {
    const detail = "first value must match `clusterIP`";
    causes.push(invalid("spec.clusterIPs", clusterIPs, detail));
  }
  spec.externalIPs?.forEach((address, index) => {
    for (const problem of checkAddress(address)) {
      causes.push(invalid(`spec.externalIPs[${index}]`, address, problem));
    }
  });
  return causes;
}

function validatePorts(spec: ServiceSpec): FieldCause[] {
  const ports = spec.ports ?? [];
  const causes: FieldCause[] = [];
  if (ports.length === 0 && spec.clusterIP !== headless && spec.type !== "ExternalName") {
    causes.push(required("spec.ports"));
  }
  const [names, numbers, nodePorts] = [new Set<string>(), new Set<string>(), new Set<string>()];
  ports.forEach((port, index) => {
    const at = `spec.ports[${index}]`;
    const { name = "", protocol = "", nodePort } = port;
    if (name === "") {
      if (ports.length > 1) causes.push(required(`${at}.name`));
    } else {
      for (const problem of checkLabelName(name)) causes.push(invalid(`${at}.name`, name, problem));
      if (names.has(name)) causes.push(duplicate(`${at}.name`, name));
      names.add(name);
    }
    causes.push(...validatePort(port.port ?? 0, `${at}.port`));
    if (protocol === "") causes.push(required(`${at}.protocol`));
    else causes.push(...oneOf(protocol, protocols, `${at}.protocol`));
    if (!isUnset(port.targetPort)) {
      causes.push(...validatePortReference(port.targetPort, `${at}.targetPort`));
    }
    const key = `${protocol}/${port.port}`;
    if (numbers.has(key)) causes.push(duplicate(at, { port: port.port, protocol }));
    numbers.add(key);
    if (!nodePort) return;
    if (spec.type === "ClusterIP") {
      const detail = "may not be used when `type` is 'ClusterIP'";
      causes.push(forbidden(`${at}.nodePort`, detail));
    } else causes.push(...validatePort(nodePort, `${at}.nodePort`));
    const nodeKey = `${protocol}/${nodePort}`;
    if (nodePorts.has(nodeKey)) causes.push(duplicate(`${at}.nodePort`, nodePort));
    nodePorts.add(nodeKey);
  });
  return causes;
}

function externalAddress({ spec = {}, status }: Service): string {
  const external = spec.externalIPs ?? [];
  if (spec.type === "ExternalName") return spec.externalName ?? "";
  if (spec.type !== "LoadBalancer") return external.join(",") || "<none>";
  const ingress = (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || hostname);
  return [...ingress, ...external].join(",") || "<pending>";
}

function portsText(ports: readonly ServicePort[]): string {
  const each = ports.map(({ port, nodePort, protocol }) =>
    nodePort ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`,
  );
  return each.join(",") || "<none>";
}
