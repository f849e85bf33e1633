/** Pod specs, alone or in a template (upstream `ValidatePodSpec`). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  Container,
  NodeSelector,
  NodeSelectorTerm,
  Pod,
  PodResourceClaim,
  PodSpec,
  Toleration,
} from "../../../../proto/gen/core.ts";
import { duplicate, forbidden, invalid, notSupported, required } from "../../machinery/causes.ts";
import { validateLabels } from "../../machinery/metadata.ts";
import {
  checkAddress,
  checkLabelName,
  checkLabelValue,
  checkQualifiedName,
  checkSubdomain,
} from "../../machinery/names.ts";
import { type ContainerScope, validateContainer } from "./container-validation.ts";
import { validateDns } from "./dns-validation.ts";
import { oneOf } from "./field-checks.ts";
import { validatePodTerm, validateSpread } from "./placement-validation.ts";
import {
  containerResources,
  validateAmounts,
  validatePodResources,
} from "./resource-validation.ts";
import { validatePodSecurity } from "./security-validation.ts";
import { validateVolumes } from "./volume-validation.ts";

export const restartPolicies = ["Always", "OnFailure", "Never"];
export const taintEffects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/**
 * A pod's own spec: beyond that of a template, what only a real pod must keep. `stored`: the spec
 * before an update.
 */
export function validatePod({ metadata, spec = {} }: Pod, stored?: PodSpec): FieldCause[] {
  const causes = validatePodSpec(spec, "spec", metadata?.name);
  if (stored === undefined && (spec.ephemeralContainers ?? []).length > 0) {
    causes.push(forbidden("spec.ephemeralContainers", "cannot be set on create"));
  }
  if (spec.nodeName && (spec.schedulingGates ?? []).length > 0) {
    const detail = "cannot be set until all schedulingGates have been cleared";
    causes.push(forbidden("spec.nodeName", detail));
  }
  return causes;
}

/** `path`: of the spec, in a pod or a template. `podName`: absent in a template. */
export function validatePodSpec(spec: PodSpec, path: string, podName?: string): FieldCause[] {
  const causes = [
    ...validateVolumes(spec.volumes ?? [], `${path}.volumes`, podName),
    ...validateContainers(spec, path),
    ...requiredOneOf(spec.restartPolicy, restartPolicies, `${path}.restartPolicy`),
    ...requiredOneOf(
      spec.dnsPolicy,
      ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
      `${path}.dnsPolicy`,
    ),
    ...oneOf(spec.preemptionPolicy, ["PreemptLowerPriority", "Never"], `${path}.preemptionPolicy`),
    ...validateLabels(spec.nodeSelector, `${path}.nodeSelector`),
    ...validateTolerations(spec.tolerations ?? [], `${path}.tolerations`),
    ...validateAffinity(spec, `${path}.affinity`),
    ...validateSpread(spec, `${path}.topologySpreadConstraints`),
    ...validateAmounts(spec.overhead ?? {}, `${path}.overhead`, containerResources),
    ...validatePodResources(spec.resources, `${path}.resources`),
    ...validateNames(spec, path),
    ...validateHostNetwork(spec, path),
    ...validatePodSecurity(spec, path),
    ...validateDns(spec, path),
    ...validateResourceClaims(spec.resourceClaims ?? [], `${path}.resourceClaims`),
    ...validateOs(spec, `${path}.os`),
  ];
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > 2 ** 31 - 1)) {
    const detail = "must be between 1 and 2147483647, inclusive";
    causes.push(invalid(`${path}.activeDeadlineSeconds`, deadline, detail));
  }
  return causes;
}

function requiredOneOf(
  value: string | undefined,
  supported: readonly string[],
  path: string,
): FieldCause[] {
  return value === undefined || value === "" ? [required(path)] : oneOf(value, supported, path);
}

function validateContainers(spec: PodSpec, path: string): FieldCause[] {
  const scope = {
    volumes: new Set((spec.volumes ?? []).map((volume) => volume.name ?? "")),
    names: new Set<string>(),
    hostPorts: new Set<string>(),
    hostUsers: spec.hostUsers !== false,
    claims: new Set((spec.resourceClaims ?? []).map(({ name = "" }) => name)),
    graceSeconds: spec.terminationGracePeriodSeconds,
    os: spec.os?.name,
    restartPolicy: spec.restartPolicy,
  };
  const check = (list: readonly Container[], field: string, init: boolean): FieldCause[] =>
    list.flatMap((container, index) =>
      validateContainer(container, `${path}.${field}[${index}]`, {
        ...scope,
        // Init containers run one after another, so each may have the ports of the others.
        ...(init && { hostPorts: new Set() }),
        init,
      } as ContainerScope),
    );
  const containers = spec.containers ?? [];
  return [
    ...(containers.length === 0 ? [required(`${path}.containers`)] : []),
    ...check(containers, "containers", false),
    ...check(spec.initContainers ?? [], "initContainers", true),
    ...check(spec.ephemeralContainers ?? [], "ephemeralContainers", false),
  ];
}

function validateResourceClaims(claims: readonly PodResourceClaim[], path: string): FieldCause[] {
  const seen = new Set<string>();
  return claims.flatMap((claim, index) => {
    const { name = "", resourceClaimName, resourceClaimTemplateName } = claim;
    const at = `${path}[${index}]`;
    const causes: FieldCause[] = [];
    if (name === "") causes.push(required(`${at}.name`));
    else if (seen.has(name)) causes.push(duplicate(`${at}.name`, name));
    else {
      for (const problem of checkLabelName(name)) {
        causes.push(invalid(`${at}.name`, name, problem));
      }
    }
    seen.add(name);
    const sources = { resourceClaimName, resourceClaimTemplateName };
    const given = Object.entries(sources).filter(([, source]) => source !== undefined);
    if (given.length === 2) {
      const detail =
        "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
      causes.push(invalid(at, claim, detail));
    } else if (given.length === 0) {
      const detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
      causes.push(invalid(at, claim, detail));
    }
    for (const [field, source = ""] of given) {
      for (const problem of checkSubdomain(source)) {
        causes.push(invalid(`${at}.${field}`, source, problem));
      }
    }
    return causes;
  });
}

/** Under hostNetwork a container listens on the ports of the node. */
function validateHostNetwork(spec: PodSpec, path: string): FieldCause[] {
  if (spec.hostNetwork !== true) return [];
  const detail = "must match `containerPort` when `hostNetwork` is true";
  return (spec.containers ?? []).flatMap(({ ports = [] }, container) =>
    ports.flatMap(({ hostPort = 0, containerPort = 0 }, index) => {
      if (hostPort === containerPort) return [];
      return [
        invalid(`${path}.containers[${container}].ports[${index}].hostPort`, hostPort, detail),
      ];
    }),
  );
}

/** Other than upstream, Windows is refused at once: no kubelet of this cluster could run the pod. */
function validateOs({ os }: PodSpec, path: string): FieldCause[] {
  if (os === undefined) return [];
  if (!os.name) return [required(`${path}.name`)];
  return os.name === "linux" ? [] : [notSupported(path, os.name, ["linux"])];
}

function validateNames(spec: PodSpec, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const check = (name: string, value: string | undefined, rule: (text: string) => string[]) => {
    if (value === undefined || value === "") return;
    for (const problem of rule(value)) causes.push(invalid(`${path}.${name}`, value, problem));
  };
  check("nodeName", spec.nodeName, checkSubdomain);
  check("serviceAccountName", spec.serviceAccountName, checkSubdomain);
  check("priorityClassName", spec.priorityClassName, checkSubdomain);
  check("runtimeClassName", spec.runtimeClassName, checkSubdomain);
  check("hostname", spec.hostname, checkLabelName);
  check("subdomain", spec.subdomain, checkLabelName);
  check("schedulerName", spec.schedulerName, checkQualifiedName);
  spec.hostAliases?.forEach(({ ip = "", hostnames = [] }, index) => {
    check(`hostAliases[${index}].ip`, ip === "" ? " " : ip, checkAddress);
    hostnames.forEach((name, at) => {
      check(`hostAliases[${index}].hostnames[${at}]`, name, checkSubdomain);
    });
  });
  spec.readinessGates?.forEach(({ conditionType = "" }, index) => {
    const field = `${path}.readinessGates[${index}].conditionType`;
    for (const problem of checkQualifiedName(conditionType)) {
      causes.push(invalid(field, conditionType, problem));
    }
  });
  const gates = new Set<string>();
  spec.schedulingGates?.forEach(({ name = "" }, index) => {
    const field = `schedulingGates[${index}]`;
    if (name === "") causes.push(required(`${path}.${field}`));
    check(field, name, checkQualifiedName);
    if (gates.has(name)) causes.push(duplicate(`${path}.${field}`, name));
    gates.add(name);
  });
  return causes;
}

export function validateTolerations(
  tolerations: readonly Toleration[],
  path: string,
): FieldCause[] {
  return tolerations.flatMap((toleration, index) => {
    const { key = "", operator = "", value = "", effect = "", tolerationSeconds } = toleration;
    const at = `${path}[${index}]`;
    const causes: FieldCause[] = [];
    if (key !== "") {
      for (const problem of checkQualifiedName(key))
        causes.push(invalid(`${at}.key`, key, problem));
    } else if (operator !== "Exists") {
      const detail =
        'operator must be Exists when `key` is empty, which means "match all values and all keys"';
      causes.push(invalid(`${at}.operator`, operator, detail));
    }
    if (tolerationSeconds !== undefined && effect !== "NoExecute") {
      const detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
      causes.push(invalid(`${at}.effect`, effect, detail));
    }
    if (operator === "Exists") {
      const detail = "value must be empty when `operator` is 'Exists'";
      if (value !== "") causes.push(invalid(`${at}.operator`, toleration, detail));
    } else if (operator === "" || operator === "Equal") {
      for (const problem of checkLabelValue(value)) {
        causes.push(invalid(`${at}.operator`, value, problem));
      }
    } else causes.push(notSupported(`${at}.operator`, operator, ["Equal", "Exists"]));
    if (effect !== "") causes.push(...oneOf(effect, taintEffects, `${at}.effect`));
    return causes;
  });
}

function validateAffinity(spec: PodSpec, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const node = spec.affinity?.nodeAffinity;
  const mustBe = node?.requiredDuringSchedulingIgnoredDuringExecution;
  const nodePath = `${path}.nodeAffinity`;
  if (mustBe !== undefined) {
    const at = `${nodePath}.requiredDuringSchedulingIgnoredDuringExecution`;
    causes.push(...validateNodeSelector(mustBe, at));
  }
  node?.preferredDuringSchedulingIgnoredDuringExecution?.forEach((term, index) => {
    const at = `${nodePath}.preferredDuringSchedulingIgnoredDuringExecution[${index}]`;
    causes.push(...validateWeight(term.weight, `${at}.weight`));
    causes.push(...validateNodeTerm(term.preference ?? {}, `${at}.preference`));
  });
  for (const name of ["podAffinity", "podAntiAffinity"] as const) {
    const affinity = spec.affinity?.[name];
    affinity?.requiredDuringSchedulingIgnoredDuringExecution?.forEach((term, index) => {
      const at = `${path}.${name}.requiredDuringSchedulingIgnoredDuringExecution[${index}]`;
      causes.push(...validatePodTerm(term, at));
    });
    affinity?.preferredDuringSchedulingIgnoredDuringExecution?.forEach((term, index) => {
      const at = `${path}.${name}.preferredDuringSchedulingIgnoredDuringExecution[${index}]`;
      causes.push(...validateWeight(term.weight, `${at}.weight`));
      causes.push(...validatePodTerm(term.podAffinityTerm ?? {}, `${at}.podAffinityTerm`));
    });
  }
  return causes;
}

/** Also of persistent volumes. */
export function validateNodeSelector(selector: NodeSelector, path: string): FieldCause[] {
  const { nodeSelectorTerms: terms = [] } = selector;
  const at = `${path}.nodeSelectorTerms`;
  if (terms.length === 0) return [required(at, "must have at least one node selector term")];
  return terms.flatMap((term, index) => validateNodeTerm(term, `${at}[${index}]`));
}

function validateWeight(weight: number | undefined, path: string): FieldCause[] {
  const within = weight !== undefined && weight >= 1 && weight <= 100;
  return within ? [] : [invalid(path, weight ?? 0, "must be in the range 1-100")];
}

function validateNodeTerm(term: NodeSelectorTerm, path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const list of ["matchExpressions", "matchFields"] as const) {
    term[list]?.forEach(({ key = "", operator = "", values = [] }, index) => {
      const at = `${path}.${list}[${index}]`;
      if (operator === "In" || operator === "NotIn") {
        const detail = "must be specified when `operator` is 'In' or 'NotIn'";
        if (values.length === 0) causes.push(required(`${at}.values`, detail));
      } else if (operator === "Exists" || operator === "DoesNotExist") {
        const detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
        if (values.length > 0) causes.push(forbidden(`${at}.values`, detail));
      } else if (operator === "Gt" || operator === "Lt") {
        const detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
        if (values.length !== 1) causes.push(required(`${at}.values`, detail));
      } else causes.push(invalid(`${at}.operator`, operator, "not a valid selector operator"));
      if (list === "matchFields") {
        if (key !== "metadata.name") {
          causes.push(invalid(`${at}.key`, key, "not a valid field selector key"));
        }
        return;
      }
      for (const problem of checkQualifiedName(key))
        causes.push(invalid(`${at}.key`, key, problem));
    });
  }
  return causes;
}
