/** What the author of a pod or a template is told of it, in upstream's words (`pkg/api/pod`). */
import type {
  Container,
  ContainerPort,
  NodeSelectorTerm,
  PodAffinity,
  PodSpec,
  PodTemplateSpec,
} from "../../../../proto/gen/core.ts";
import { checkLabelName, checkLabelValue } from "../../machinery/names.ts";
import { formatQuantity, parseQuantity } from "../../machinery/quantity.ts";
import type { Document } from "../../machinery/resource.ts";
import { pathWarnings } from "./path-warnings.ts";

const deprecatedNodeLabels: ReadonlyMap<string, string> = new Map([
  ["beta.kubernetes.io/arch", 'deprecated since v1.14; use "kubernetes.io/arch" instead'],
  ["beta.kubernetes.io/os", 'deprecated since v1.14; use "kubernetes.io/os" instead'],
  [
    "failure-domain.beta.kubernetes.io/region",
    'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  ],
  [
    "failure-domain.beta.kubernetes.io/zone",
    'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  ],
  [
    "beta.kubernetes.io/instance-type",
    'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
  ],
]);

const deprecatedAnnotations = [
  [
    "scheduler.alpha.kubernetes.io/critical-pod",
    'non-functional in v1.16+; use the "priorityClassName" field instead',
  ],
  [
    "security.alpha.kubernetes.io/sysctls",
    'non-functional in v1.11+; use the "sysctls" field instead',
  ],
  [
    "security.alpha.kubernetes.io/unsafe-sysctls",
    'non-functional in v1.11+; use the "sysctls" field instead',
  ],
] as const;

const deprecatedVolumes = [
  ["photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"],
  ["gitRepo", "deprecated in v1.11"],
  ["scaleIO", "deprecated in v1.16, non-functional in v1.22+"],
  ["flocker", "deprecated in v1.22, non-functional in v1.25+"],
  ["storageos", "deprecated in v1.22, non-functional in v1.25+"],
  ["quobyte", "deprecated in v1.22, non-functional in v1.25+"],
  ["glusterfs", "deprecated in v1.25, non-functional in v1.26+"],
  ["cephfs", "deprecated in v1.28, non-functional in v1.31+"],
  ["rbd", "deprecated in v1.28, non-functional in v1.31+"],
] as const;

/** `path`: of the template, with a dot behind; "" for a pod. */
export function podWarnings({ metadata, spec = {} }: PodTemplateSpec, path = ""): string[] {
  const containers = containersOf(spec, `${path}spec`);
  return [
    ...labelWarnings(spec, `${path}spec`),
    ...annotationWarnings(metadata?.annotations ?? {}, `${path}metadata.annotations`),
    ...volumeWarnings(spec, `${path}spec.volumes`),
    ...pathWarnings(spec.volumes ?? []),
    ...listWarnings(spec, `${path}spec`),
    ...amountWarnings(spec.overhead, `${path}spec.overhead`),
    ...containers.flatMap(([container, at]) => containerWarnings(container, at)),
    ...portWarnings(containers),
    ...graceWarnings(spec, `${path}spec`),
    ...affinityWarnings(spec.affinity?.podAffinity, `${path}spec.affinity.podAffinity`),
    ...affinityWarnings(spec.affinity?.podAntiAffinity, `${path}spec.affinity.podAntiAffinity`),
  ];
}

/** Of the kind's own name, which becomes part of host names. `use`: as in "used in Pod names". */
export function nameWarnings({ metadata }: Document, use: string): string[] {
  const name = metadata?.name ?? "";
  const problems = name === "" ? [] : checkLabelName(name);
  if (problems.length === 0) return [];
  const why = "which can result in surprising behavior; a DNS label is recommended";
  return [`metadata.name: this is used in ${use}, ${why}: [${problems.join(" ")}]`];
}

/** Of a kind whose pods are named after it. `path`: of the template. */
export function templateWarnings(
  document: Document,
  stored: Document | undefined,
  template: PodTemplateSpec | undefined,
  path = "spec.template",
): string[] {
  return [
    ...(stored === undefined ? nameWarnings(document, "Pod names and hostnames") : []),
    ...podWarnings(template ?? {}, `${path}.`),
  ];
}

type Placed<T> = readonly [T, string];

function containersOf(spec: PodSpec, path: string): Placed<Container>[] {
  const lists = ["initContainers", "containers", "ephemeralContainers"] as const;
  return lists.flatMap((list) =>
    ((spec[list] ?? []) as readonly Container[]).map(
      (container, index) => [container, `${path}.${list}[${index}]`] as const,
    ),
  );
}

function labelWarnings(spec: PodSpec, path: string): string[] {
  const { nodeSelector = {}, affinity, topologySpreadConstraints = [] } = spec;
  const warnings = Object.keys(nodeSelector).flatMap((key) => {
    const text = deprecatedNodeLabels.get(key);
    return text === undefined ? [] : [`${path}.nodeSelector[${key}]: ${text}`];
  });
  const { nodeAffinity = {} } = affinity ?? {};
  const required = "requiredDuringSchedulingIgnoredDuringExecution";
  const preferred = "preferredDuringSchedulingIgnoredDuringExecution";
  const at = `${path}.affinity.nodeAffinity`;
  for (const [index, term] of (nodeAffinity[required]?.nodeSelectorTerms ?? []).entries()) {
    warnings.push(...termWarnings(term, `${at}.${required}.nodeSelectorTerms[${index}]`));
  }
  for (const [index, { preference = {} }] of (nodeAffinity[preferred] ?? []).entries()) {
    const term = `${at}.${preferred}[${index}].preference`;
    warnings.push(...termWarnings(preference, term), ...valueWarnings(preference, term));
  }
  for (const [index, { topologyKey = "", labelSelector }] of topologySpreadConstraints.entries()) {
    const one = `${path}.topologySpreadConstraints[${index}]`;
    const text = deprecatedNodeLabels.get(topologyKey);
    if (text !== undefined) warnings.push(`${one}.topologyKey: ${topologyKey} is ${text}`);
    if (labelSelector === undefined) warnings.push(matchesNothing(`${one}.labelSelector`));
  }
  return warnings;
}

const matchesNothing = (path: string) => `${path}: a null labelSelector results in matching no pod`;

function termWarnings({ matchExpressions = [] }: NodeSelectorTerm, path: string): string[] {
  return matchExpressions.flatMap(({ key = "" }, index) => {
    const text = deprecatedNodeLabels.get(key);
    return text === undefined ? [] : [`${path}.matchExpressions[${index}].key: ${key} is ${text}`];
  });
}

/** A preference for what no label can hold is allowed, and never met. */
function valueWarnings({ matchExpressions = [] }: NodeSelectorTerm, path: string): string[] {
  return matchExpressions.flatMap(({ values = [] }, index) =>
    values.flatMap((value, place) =>
      checkLabelValue(value).map(
        (problem) =>
          `${path}.matchExpressions[${index}].values[${place}]: ${value} is invalid, ${problem}`,
      ),
    ),
  );
}

function annotationWarnings(annotations: Readonly<Record<string, string>>, path: string): string[] {
  const warnings: string[] = [];
  for (const [key, text] of deprecatedAnnotations) {
    if (Object.hasOwn(annotations, key)) warnings.push(`${path}[${key}]: ${text}`);
  }
  return warnings;
}

function volumeWarnings({ volumes = [] }: PodSpec, path: string): string[] {
  const warnings: string[] = [];
  for (const [index, volume] of volumes.entries()) {
    for (const [source, text] of deprecatedVolumes) {
      if ((volume as Record<string, unknown>)[source] === undefined) continue;
      warnings.push(`${path}[${index}].${source}: ${text}`);
    }
  }
  return warnings;
}

function listWarnings({ hostAliases = [], imagePullSecrets = [] }: PodSpec, path: string) {
  const repeated = (values: readonly string[], at: (index: number) => string, what: string) =>
    values.flatMap((value, index) =>
      values.indexOf(value) < index
        ? [`${path}.${at(index)}: duplicate ${what} ${JSON.stringify(value)}`]
        : [],
    );
  const names = imagePullSecrets.map(({ name = "" }) => name);
  const nameAt = (index: number) => `imagePullSecrets[${index}].name`;
  const addresses = hostAliases.map(({ ip = "" }) => ip);
  return [
    ...repeated(addresses, (index) => `hostAliases[${index}].ip`, "ip"),
    ...repeated(names, nameAt, "name"),
    ...names.flatMap((name, index) =>
      name === "" ? [`${path}.${nameAt(index)}: invalid empty name ""`] : [],
    ),
  ];
}

const nanosInOne = 1_000_000_000n;
const nanosInMilli = 1_000_000n;

const byteResources = ["memory", "ephemeral-storage"];

function amountWarnings(amounts: Readonly<Record<string, string>> | undefined, path: string) {
  const warnings: string[] = [];
  for (const resource of byteResources) {
    const quantity = parseQuantity(amounts?.[resource] ?? "");
    // Whole bytes, as nearly always.
    if (quantity === undefined || quantity.nanos % nanosInOne === 0n) continue;
    // In thousandths, rounded up, as upstream looks at it.
    const fraction = (quantity.nanos + nanosInMilli - 1n) / nanosInMilli;
    if (fraction % (nanosInOne / nanosInMilli) === 0n) continue;
    const text = JSON.stringify(formatQuantity(quantity));
    warnings.push(
      `${path}[${resource}]: fractional byte value ${text} is invalid, must be an integer`,
    );
  }
  return warnings;
}

function containerWarnings({ resources, env = [] }: Container, path: string): string[] {
  const warnings = [
    ...amountWarnings(resources?.limits, `${path}.resources.limits`),
    ...amountWarnings(resources?.requests, `${path}.resources.requests`),
  ];
  const seen = new Set<string>();
  for (const [index, { name = "", value = "", valueFrom }] of env.entries()) {
    if (!seen.has(name)) {
      seen.add(name);
      continue;
    }
    const reference = `$(${name})`;
    if (valueFrom === undefined && value !== reference && value.includes(reference)) continue;
    const hidden = `hides previous definition of ${JSON.stringify(name)}`;
    warnings.push(`${path}.env[${index}]: ${hidden}, which may be dropped when using apply`);
  }
  return warnings;
}

function portWarnings(containers: readonly Placed<Container>[]): string[] {
  const warnings: string[] = [];
  const before = new Map<string, Placed<ContainerPort>[]>();
  for (const [{ ports = [] }, path] of containers) {
    for (const [index, port] of ports.entries()) {
      const at = `${path}.ports[${index}]`;
      const { hostIP = "", hostPort = 0, containerPort = 0, protocol = "TCP", name = "" } = port;
      if (hostIP !== "" && hostPort === 0) {
        const shown = `{Name:${name} HostPort:0 ContainerPort:${containerPort} Protocol:${protocol} HostIP:${hostIP}}`;
        warnings.push(`${at}: hostIP set without hostPort: ${shown}`);
      }
      const key = `${containerPort}/${protocol}`;
      const others = before.get(key) ?? [];
      for (const [other, place] of others) {
        const how = likeness(port, other);
        if (how !== undefined) warnings.push(`${at}: ${how} port definition with ${place}`);
      }
      before.set(key, [...others, [port, at]]);
    }
  }
  return warnings;
}

function likeness(one: ContainerPort, other: ContainerPort): string | undefined {
  const [address, otherAddress] = [one.hostIP ?? "", other.hostIP ?? ""];
  const [port, otherPort] = [one.hostPort ?? 0, other.hostPort ?? 0];
  if (address === otherAddress && port === otherPort) return "duplicate";
  if (port === 0 || otherPort === 0) return "overlapping";
  const oneOfThem = (address === "") !== (otherAddress === "");
  return port === otherPort && oneOfThem ? "dangerously ambiguous" : undefined;
}

function graceWarnings({ terminationGracePeriodSeconds = 0 }: PodSpec, path: string): string[] {
  if (terminationGracePeriodSeconds >= 0) return [];
  const text = "must be >= 0; negative values are invalid and will be treated as 1";
  return [`${path}.terminationGracePeriodSeconds: ${text}`];
}

function affinityWarnings(affinity: PodAffinity | undefined, path: string): string[] {
  const required = "requiredDuringSchedulingIgnoredDuringExecution";
  const preferred = "preferredDuringSchedulingIgnoredDuringExecution";
  const { [required]: musts = [], [preferred]: wishes = [] } = affinity ?? {};
  return [
    ...musts.flatMap(({ labelSelector }, index) =>
      labelSelector === undefined
        ? [matchesNothing(`${path}.${required}[${index}].labelSelector`)]
        : [],
    ),
    ...wishes.flatMap(({ podAffinityTerm }, index) =>
      podAffinityTerm?.labelSelector === undefined
        ? [matchesNothing(`${path}.${preferred}[${index}].podAffinityTerm.labelSelector`)]
        : [],
    ),
  ];
}
