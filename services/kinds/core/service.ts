import {
  Service,
  type ServicePort,
  type ServiceSpec,
  ServicesService,
} from "../../../proto/gen/core.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import type { Document } from "../machinery/resource.ts";
import { dropBalancer, setModeDefaults, validateServiceStatus } from "./load-balancer-status.ts";
import { noAddress, validateAddressChange } from "./service-addresses.ts";
import {
  hintsAnnotation,
  isReachedFromOutside,
  topologyAnnotation,
  validateClassChange,
  validateHealthCheckChange,
  validateService,
} from "./service-validation.ts";

const affinitySecondsDefault = 10_800;

const specOf = (document: Document): ServiceSpec => (document as Service).spec ?? {};

export const service = defineKind({
  message: "trireme.core.v1.Service",
  codec: Service,
  service: ServicesService,
  createOnUpdate: true,
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
    setModeDefaults(service);
  },
  prepareForUpdate(next, _stored, _now, context) {
    if (context?.subresource !== "status") dropBalancer(next as Service);
  },
  warnings: (document) => warningsOf(document as Service),
  validate: (document, stored) =>
    validateService(document as Service, stored as Service | undefined),
  validateUpdate(next, stored, context) {
    if (context?.subresource === "status") return validateServiceStatus(next, stored);
    const [spec, before] = [specOf(next), specOf(stored)];
    return [
      ...validateAddressChange(spec, before),
      ...validateClassChange(spec, before),
      ...validateHealthCheckChange(spec, before),
    ];
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
  spec.type ||= "ClusterIP";
  spec.sessionAffinity ||= "None";
  if (spec.sessionAffinity === "None") delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === "ClientIP") {
    const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? affinitySecondsDefault;
    spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: seconds } };
  }
  for (const port of spec.ports ?? []) {
    port.protocol ||= "TCP";
    if (isUnset(port.targetPort)) port.targetPort = port.port ?? 0;
  }
  if (isReachedFromOutside(spec)) spec.externalTrafficPolicy ||= "Cluster";
  if (["ClusterIP", "NodePort", "LoadBalancer"].includes(spec.type)) {
    spec.internalTrafficPolicy ??= "Cluster";
  }
  if (spec.type === "LoadBalancer") spec.allocateLoadBalancerNodePorts ??= true;
}

function isUnset(port: unknown): boolean {
  return port === undefined || port === 0 || port === "";
}

/** Upstream's `GetWarningsForService`. */
function warningsOf({ metadata, spec = {} }: Service): string[] {
  const { type, clusterIP, externalIPs = [], loadBalancerIP = "", externalName = "" } = spec;
  const warnings: string[] = [];
  if (metadata?.annotations?.[hintsAnnotation] !== undefined) {
    warnings.push(
      `annotation ${hintsAnnotation} is deprecated, please use ${topologyAnnotation} instead`,
    );
  }
  if (type === "ClusterIP" && clusterIP === noAddress) {
    const ignored = {
      loadBalancerIP: loadBalancerIP !== "",
      externalIPs: externalIPs.length > 0,
      SessionAffinity: spec.sessionAffinity !== "",
    };
    for (const [field, given] of Object.entries(ignored)) {
      if (given) warnings.push(`spec.${field} is ignored for headless services`);
    }
  }
  if (type === "ExternalName" && externalIPs.length > 0) {
    warnings.push('spec.externalIPs is ignored when spec.type is "ExternalName"');
  }
  if (type !== "ExternalName" && externalName !== "") {
    warnings.push('spec.externalName is ignored when spec.type is not "ExternalName"');
  }
  return warnings;
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
