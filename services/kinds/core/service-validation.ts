/** What is wrong with a service (upstream's `validateService`), in upstream's order. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { Service, ServicePort, ServiceSpec } from "../../../proto/gen/core.ts";
import {
  duplicate,
  forbidden,
  invalid,
  notSupportedInOrder,
  required,
} from "../machinery/causes.ts";
import { checkCidr } from "../machinery/cidr.ts";
import { wrong } from "../machinery/field-rules.ts";
import { validateLabels } from "../machinery/metadata.ts";
import {
  checkAddress,
  checkLabelName,
  checkQualifiedName,
  checkSubdomain,
} from "../machinery/names.ts";
import { validateEndpointAddress } from "./endpoint-address.ts";
import { oneOf } from "./pod/field-checks.ts";
import { protocols, validatePort, validatePortReference } from "./pod/port-validation.ts";
import { isHeadless, validateClusterAddresses } from "./service-addresses.ts";

const distributions = ["PreferClose", "PreferSameZone", "PreferSameNode"];
const types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const affinitySecondsMax = 86_400;
export const hintsAnnotation = "service.kubernetes.io/topology-aware-hints";
export const topologyAnnotation = "service.kubernetes.io/topology-mode";
const rangesAnnotation = "service.beta.kubernetes.io/load-balancer-source-ranges";
const ofBalancers = "may only be used when `type` is 'LoadBalancer'";

type Annotations = Readonly<Record<string, string>>;

/** Whether traffic from outside the cluster has an address to go to (`ExternallyAccessible`). */
export function isReachedFromOutside({ type, externalIPs }: ServiceSpec): boolean {
  if (type === "NodePort" || type === "LoadBalancer") return true;
  return type === "ClusterIP" && (externalIPs ?? []).length > 0;
}

function needsHealthCheck({ type, externalTrafficPolicy }: ServiceSpec): boolean {
  return type === "LoadBalancer" && externalTrafficPolicy === "Local";
}

export function validateService({ metadata, spec = {} }: Service, stored?: Service): FieldCause[] {
  const annotations = metadata?.annotations ?? {};
  const { type = "", ports = [], externalIPs = [] } = spec;
  return [
    ...validateTopology(annotations),
    ...(ports.length === 0 && !isHeadless(spec) && type !== "ExternalName"
      ? [required("spec.ports")]
      : []),
    ...validateByType(spec),
    ...validatePorts(ports),
    ...validateLabels(spec.selector, "spec.selector"),
    ...validateAffinity(spec),
    ...validateClusterAddresses(spec),
    ...externalIPs.flatMap((address, index) => {
      const at = `spec.externalIPs[${index}]`;
      const causes = wrong(at, address, checkAddress(address));
      return causes.length > 0 ? causes : validateEndpointAddress(address, at);
    }),
    ...(type === "" ? [required("spec.type")] : oneOf(type, types, "spec.type")),
    ...validateNodePorts(spec),
    ...validateUnique(ports),
    ...validateSourceRanges(spec, annotations, stored?.metadata?.annotations),
    ...validateBalancer(spec),
    ...validateTraffic(spec),
  ];
}

function validateTopology(annotations: Annotations): FieldCause[] {
  const [mode, hints] = [annotations[topologyAnnotation], annotations[hintsAnnotation]];
  if (mode === undefined || hints === undefined || mode === hints) return [];
  const detail = `must match annotations[${hintsAnnotation}] when both are specified`;
  return [invalid(`metadata.annotations[${topologyAnnotation}]`, mode, detail)];
}

function validateByType(spec: ServiceSpec): FieldCause[] {
  const { type, clusterIPs = [], ipFamilies = [], externalName = "" } = spec;
  if (type === "LoadBalancer" || type === "NodePort") {
    if (!isHeadless(spec)) return [];
    const detail = `may not be set to 'None' for ${type} services`;
    return [invalid("spec.clusterIPs[0]", clusterIPs[0], detail)];
  }
  if (type !== "ExternalName") return [];
  const unused = {
    clusterIPs: clusterIPs.length > 0,
    ipFamilies: ipFamilies.length > 0,
    ipFamilyPolicy: spec.ipFamilyPolicy !== undefined,
  };
  const causes = Object.entries(unused)
    .filter(([, given]) => given)
    .map(([name]) => forbidden(`spec.${name}`, "may not be set for ExternalName services"));
  // A name that is complete may end in a dot.
  const name = externalName.replace(/\.$/, "");
  const field = "spec.externalName";
  return [
    ...causes,
    ...(name === "" ? [required(field)] : wrong(field, name, checkSubdomain(name))),
  ];
}

function validatePorts(ports: readonly ServicePort[]): FieldCause[] {
  const names = new Set<string>();
  return ports.flatMap((port, index) => {
    const at = `spec.ports[${index}]`;
    const { name = "", protocol = "", appProtocol } = port;
    const causes: FieldCause[] = [];
    if (name === "") {
      if (ports.length > 1) causes.push(required(`${at}.name`));
    } else {
      causes.push(...wrong(`${at}.name`, name, checkLabelName(name)));
      if (names.has(name)) causes.push(duplicate(`${at}.name`, name));
      names.add(name);
    }
    causes.push(...validatePort(port.port ?? 0, `${at}.port`));
    if (protocol === "") causes.push(required(`${at}.protocol`));
    else causes.push(...oneOf(protocol, protocols, `${at}.protocol`));
    causes.push(...validatePortReference(port.targetPort, `${at}.targetPort`));
    if (appProtocol === undefined) return causes;
    return [...causes, ...wrong(`${at}.appProtocol`, appProtocol, checkQualifiedName(appProtocol))];
  });
}

function validateAffinity({ sessionAffinity = "", sessionAffinityConfig }: ServiceSpec) {
  const path = "spec.sessionAffinity";
  if (sessionAffinity === "") return [required(path)];
  const causes = oneOf(sessionAffinity, ["ClientIP", "None"], path);
  if (sessionAffinity !== "ClientIP") return causes;
  const at = "spec.sessionAffinityConfig";
  const detail = "when session affinity type is ClientIP";
  const { clientIP } = sessionAffinityConfig ?? {};
  if (sessionAffinityConfig === undefined) return [...causes, required(at, detail)];
  if (clientIP === undefined) return [...causes, required(`${at}.clientIP`, detail)];
  const { timeoutSeconds: seconds } = clientIP;
  const field = `${at}.clientIP.timeoutSeconds`;
  if (seconds === undefined) return [...causes, required(field, detail)];
  if (seconds >= 1 && seconds <= affinitySecondsMax) return causes;
  const limit = `must be greater than 0 and less than ${affinitySecondsMax}`;
  return [...causes, invalid(field, seconds, limit)];
}

function validateNodePorts({ type, ports = [] }: ServiceSpec): FieldCause[] {
  const seen = new Set<string>();
  const given = ports.flatMap(({ nodePort, protocol = "" }, index) =>
    nodePort ? [{ nodePort, protocol, at: `spec.ports[${index}].nodePort` }] : [],
  );
  const detail = "may not be used when `type` is 'ClusterIP'";
  return [
    ...(type === "ClusterIP" ? given.map(({ at }) => forbidden(at, detail)) : []),
    ...given.flatMap(({ nodePort, protocol, at }) => {
      const key = `${protocol}/${nodePort}`;
      if (seen.has(key)) return [duplicate(at, nodePort)];
      seen.add(key);
      return [];
    }),
  ];
}

/** No two ports have the same number and protocol. */
function validateUnique(ports: readonly ServicePort[]): FieldCause[] {
  const seen = new Set<string>();
  return ports.flatMap(({ port = 0, protocol = "" }, index) => {
    const key = `${protocol}/${port}`;
    if (!seen.has(key)) {
      seen.add(key);
      return [];
    }
    // With the names that the fields have inside of upstream.
    const shown = { Name: "", Protocol: protocol, AppProtocol: null, Port: port };
    return [duplicate(`spec.ports[${index}]`, { ...shown, TargetPort: 0, NodePort: 0 })];
  });
}

/** The annotation is older than the field, and counts where there is none. */
function validateSourceRanges(
  { type, loadBalancerSourceRanges: ranges = [] }: ServiceSpec,
  annotations: Annotations,
  before: Annotations | undefined,
): FieldCause[] {
  const text = annotations[rangesAnnotation];
  if (ranges.length > 0) {
    // The path is upstream's.
    const path = "spec.LoadBalancerSourceRanges";
    return [
      ...(type === "LoadBalancer" ? [] : [forbidden(path, ofBalancers)]),
      ...ranges.flatMap((range, index) =>
        wrong(`${path}[${index}]`, range.trim(), checkCidr(range.trim())),
      ),
    ];
  }
  if (text === undefined) return [];
  const path = `metadata.annotations[${rangesAnnotation}]`;
  const causes = type === "LoadBalancer" ? [] : [forbidden(path, ofBalancers)];
  if (before?.[rangesAnnotation] === text || text.trim() === "") return causes;
  const each = text.split(",").map((range) => range.trim());
  return [...causes, ...each.flatMap((range) => wrong(path, range, checkCidr(range)))];
}

function validateBalancer(spec: ServiceSpec): FieldCause[] {
  const { allocateLoadBalancerNodePorts: allocate, loadBalancerClass } = spec;
  const [at, path] = ["spec.allocateLoadBalancerNodePorts", "spec.loadBalancerClass"];
  if (spec.type !== "LoadBalancer") {
    return [
      ...(allocate === undefined ? [] : [forbidden(at, ofBalancers)]),
      ...(loadBalancerClass === undefined ? [] : [forbidden(path, ofBalancers)]),
    ];
  }
  return [
    // The path is upstream's.
    ...(allocate === undefined ? [required("allocateLoadBalancerNodePorts")] : []),
    ...(loadBalancerClass === undefined
      ? []
      : wrong(path, loadBalancerClass, checkQualifiedName(loadBalancerClass))),
  ];
}

function validateTraffic(spec: ServiceSpec): FieldCause[] {
  const { externalTrafficPolicy: outer = "", internalTrafficPolicy: inner, type = "" } = spec;
  const { trafficDistribution: distribution } = spec;
  const policies = ["Cluster", "Local"];
  const [outerPath, innerPath] = ["spec.externalTrafficPolicy", "spec.internalTrafficPolicy"];
  const causes: FieldCause[] = [];
  if (isReachedFromOutside(spec)) {
    if (outer === "") causes.push(required(outerPath));
    else causes.push(...oneOf(outer, policies, outerPath));
  } else if (outer !== "") {
    const detail = "may only be set for externally-accessible services";
    causes.push(invalid(outerPath, outer, detail));
  }
  causes.push(...validateHealthCheck(spec));
  const inside = ["ClusterIP", "NodePort", "LoadBalancer"].includes(type);
  if (inner === undefined && inside) causes.push(required(innerPath));
  causes.push(...oneOf(inner, policies, innerPath));
  if (distribution !== undefined && !distributions.includes(distribution)) {
    causes.push(notSupportedInOrder("spec.trafficDistribution", distribution, distributions));
  }
  return causes;
}

function validateHealthCheck(spec: ServiceSpec): FieldCause[] {
  const { healthCheckNodePort: port = 0 } = spec;
  const path = "spec.healthCheckNodePort";
  if (needsHealthCheck(spec)) return port === 0 ? [required(path)] : validatePort(port, path);
  if (port === 0) return [];
  const detail =
    "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
  return [invalid(path, port, detail)];
}

/** Upstream's `validateServiceExternalTrafficFieldsUpdate`. */
export function validateHealthCheckChange(next: ServiceSpec, before: ServiceSpec): FieldCause[] {
  if (!needsHealthCheck(next) || !needsHealthCheck(before)) return [];
  if (next.healthCheckNodePort === before.healthCheckNodePort) return [];
  return [forbidden("spec.healthCheckNodePort", "field is immutable")];
}

/** The class of a load balancer stays while it is one. */
export function validateClassChange(next: ServiceSpec, before: ServiceSpec): FieldCause[] {
  const { loadBalancerClass } = next;
  if (next.type !== "LoadBalancer") return [];
  if (before.type === "LoadBalancer" && loadBalancerClass !== before.loadBalancerClass) {
    return [invalid("spec.loadBalancerClass", loadBalancerClass, "may not change once set")];
  }
  return [];
}
