/** Pod specs, alone or in a template (upstream `ValidatePodSpec`). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  Container,
  HostAlias,
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  Pod,
  PodResourceClaim,
  PodSpec,
  Toleration,
} from "../../../../proto/gen/core.ts";
import { duplicate, forbidden, invalid, notSupported, required } from "../../machinery/causes.ts";
import { wrong } from "../../machinery/field-rules.ts";
import { validateLabels } from "../../machinery/metadata.ts";
import {
  checkAddress,
  checkLabelName,
  checkLabelValue,
  checkQualifiedName,
  checkSubdomain,
} from "../../machinery/names.ts";
import {
  type ContainerScope,
  validateContainer,
  validateImageOfPod,
} from "./container-validation.ts";
import { validateDns } from "./dns-validation.ts";
import { among, requiredAmong } from "./field-checks.ts";
import { validatePodTerm, validateSpread } from "./placement-validation.ts";
import {
  containerResources,
  validateAmounts,
  validatePodResources,
} from "./resource-validation.ts";
import { validateHostUsers, validatePodSecurity } from "./security-validation.ts";
import { validateVolumes } from "./volume-validation.ts";

export const restartPolicies = ["Always", "OnFailure", "Never"];
const notAnOperator = "not a valid selector operator";
export const taintEffects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/**
 * A pod's own spec: beyond that of a template, what only a real pod must keep. `stored`: the spec
 * before an update.
 */
export function validatePod({ metadata, spec = {} }: Pod, stored?: PodSpec): FieldCause[] {
  const causes = [
    ...validatePodSpec(spec, "spec", metadata?.name),
    ...validateTokens(spec),
    ...(["containers", "initContainers"] as const).flatMap((list) =>
      (spec[list] ?? []).flatMap((each, index) =>
        validateImageOfPod(each, `spec.${list}[${index}]`),
      ),
    ),
  ];
  if (stored === undefined && (spec.ephemeralContainers ?? []).length > 0) {
    causes.push(forbidden("spec.ephemeralContainers", "cannot be set on create"));
  }
  if (spec.nodeName && (spec.schedulingGates ?? []).length > 0) {
    const detail = "cannot be set until all schedulingGates have been cleared";
    causes.push(forbidden("spec.nodeName", detail));
  }
  return causes;
}

/** A token is that of the pod's service account. */
function validateTokens({ serviceAccountName, volumes = [] }: PodSpec): FieldCause[] {
  if (serviceAccountName) return [];
  const detail = "must not be specified when serviceAccountName is not set";
  return volumes.flatMap(({ projected }, volume) =>
    (projected?.sources ?? []).flatMap(({ serviceAccountToken }, source) => {
      if (serviceAccountToken === undefined) return [];
      const path = `spec.volumes[${volume}].projected.sources[${source}].serviceAccountToken`;
      return [forbidden(path, detail)];
    }),
  );
}

/** `path`: of the spec, in a pod or a template. `podName`: absent in a template. */
export function validatePodSpec(spec: PodSpec, path: string, podName?: string): FieldCause[] {
  const { causes, volumes } = validateVolumes(spec.volumes ?? [], `${path}.volumes`, podName);
  return [
    ...causes,
    ...validateResourceClaims(spec.resourceClaims ?? [], `${path}.resourceClaims`),
    ...validateContainers(spec, path, volumes),
    ...validatePodResources(spec.resources, `${path}.resources`),
    ...validateHostNetwork(spec, path),
    ...requiredAmong(spec.restartPolicy, restartPolicies, `${path}.restartPolicy`),
    ...requiredAmong(
      spec.dnsPolicy,
      ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
      `${path}.dnsPolicy`,
    ),
    ...validateLabels(spec.nodeSelector, `${path}.nodeSelector`),
    ...validatePodSecurity(spec, path),
    ...validateAffinity(spec, `${path}.affinity`),
    ...validateDns(spec, path),
    ...validateGates(spec, path),
    ...validateSpread(spec, `${path}.topologySpreadConstraints`),
    ...validateHostUsers(spec, path),
    ...validateNames(spec, path, ["serviceAccountName", "nodeName"]),
    ...validateDeadline(spec.activeDeadlineSeconds, `${path}.activeDeadlineSeconds`),
    ...validateNames(spec, path, ["hostname", "subdomain"]),
    ...validateTolerations(spec.tolerations ?? [], `${path}.tolerations`),
    ...validateHostAliases(spec.hostAliases ?? [], `${path}.hostAliases`),
    ...validateNames(spec, path, ["priorityClassName", "runtimeClassName"]),
    ...among(spec.preemptionPolicy, ["PreemptLowerPriority", "Never"], `${path}.preemptionPolicy`),
    ...validateAmounts(spec.overhead ?? {}, `${path}.overhead`, containerResources),
    ...validateOs(spec, `${path}.os`),
  ];
}

function validateDeadline(deadline: number | undefined, path: string): FieldCause[] {
  if (deadline === undefined || (deadline >= 1 && deadline <= 2 ** 31 - 1)) return [];
  return [invalid(path, deadline, "must be between 1 and 2147483647, inclusive")];
}

function validateContainers(
  spec: PodSpec,
  path: string,
  volumes: ContainerScope["volumes"],
): FieldCause[] {
  const scope = {
    volumes,
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
      causes.push(...wrong(`${at}.name`, name, checkLabelName(name)));
    }
    seen.add(name);
    const sources = { resourceClaimName, resourceClaimTemplateName };
    const shownClaim = {
      Name: name,
      ResourceClaimName: resourceClaimName ?? null,
      ResourceClaimTemplateName: resourceClaimTemplateName ?? null,
    };
    const given = Object.entries(sources).filter(([, source]) => source !== undefined);
    if (given.length === 2) {
      const detail =
        "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
      causes.push(invalid(at, shownClaim, detail));
    } else if (given.length === 0) {
      const detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
      causes.push(invalid(at, shownClaim, detail));
    }
    for (const [field, source = ""] of given) {
      causes.push(...wrong(`${at}.${field}`, source, checkSubdomain(source)));
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
  if (os.name === "linux") return [];
  return [notSupported(path, os.name, os.name === "windows" ? ["linux"] : ["linux", "windows"])];
}

const nameRules = {
  serviceAccountName: checkSubdomain,
  nodeName: checkSubdomain,
  hostname: checkLabelName,
  subdomain: checkLabelName,
  priorityClassName: checkSubdomain,
  runtimeClassName: checkSubdomain,
} as const;

/** Absent and empty names are allowed. */
function validateNames(
  spec: PodSpec,
  path: string,
  fields: readonly (keyof typeof nameRules)[],
): FieldCause[] {
  return fields.flatMap((field) => {
    const name = spec[field];
    return name ? wrong(`${path}.${field}`, name, nameRules[field](name)) : [];
  });
}

function validateHostAliases(aliases: readonly HostAlias[], path: string): FieldCause[] {
  return aliases.flatMap(({ ip = "", hostnames = [] }, index) => [
    ...wrong(`${path}[${index}].ip`, ip, checkAddress(ip)),
    ...hostnames.flatMap((name, at) =>
      wrong(`${path}[${index}].hostnames[${at}]`, name, checkSubdomain(name)),
    ),
  ]);
}

/** What readiness waits for, and what scheduling waits for. */
function validateGates({ readinessGates, schedulingGates }: PodSpec, path: string): FieldCause[] {
  const causes = (readinessGates ?? []).flatMap(({ conditionType = "" }, index) => {
    const field = `${path}.readinessGates[${index}].conditionType`;
    return wrong(field, conditionType, checkQualifiedName(conditionType));
  });
  const seen = new Set<string>();
  (schedulingGates ?? []).forEach(({ name = "" }, index) => {
    const field = `${path}.schedulingGates[${index}]`;
    causes.push(...wrong(field, name, checkQualifiedName(name)));
    if (seen.has(name)) causes.push(duplicate(field, name));
    seen.add(name);
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
      if (value !== "") causes.push(invalid(`${at}.operator`, shown(toleration), detail));
    } else if (operator === "" || operator === "Equal") {
      const problem = checkLabelValue(value).join(";");
      if (problem !== "") causes.push(invalid(`${at}.operator`, value, problem));
    } else causes.push(notSupported(`${at}.operator`, operator, ["Equal", "Exists"]));
    if (effect !== "") causes.push(...among(effect, taintEffects, `${at}.effect`));
    return causes;
  });
}

/** As upstream's message shows one: its fields bear the names that they have in its code. */
function shown({
  key = "",
  operator = "",
  value = "",
  effect = "",
  tolerationSeconds,
}: Toleration) {
  return {
    Key: key,
    Operator: operator,
    Value: value,
    Effect: effect,
    TolerationSeconds: tolerationSeconds ?? null,
  };
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
    causes.push(...validateNodeTerm(term.preference ?? {}, `${at}.preference`, true));
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

/** `anyValue`: a value need not be that of a label, which upstream allows in a preference. */
function validateNodeTerm(term: NodeSelectorTerm, path: string, anyValue = false): FieldCause[] {
  const { matchExpressions = [], matchFields = [] } = term;
  return [
    ...matchExpressions.flatMap((requirement, index) =>
      validateExpression(requirement, `${path}.matchExpressions[${index}]`, anyValue),
    ),
    ...matchFields.flatMap((requirement, index) =>
      validateFieldRequirement(requirement, `${path}.matchFields[${index}]`),
    ),
  ];
}

function validateExpression(
  { key = "", operator = "", values = [] }: NodeSelectorRequirement,
  at: string,
  anyValue: boolean,
): FieldCause[] {
  const causes: FieldCause[] = [];
  if (operator === "In" || operator === "NotIn") {
    const detail = "must be specified when `operator` is 'In' or 'NotIn'";
    if (values.length === 0) causes.push(required(`${at}.values`, detail));
  } else if (operator === "Exists" || operator === "DoesNotExist") {
    const detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
    if (values.length > 0) causes.push(forbidden(`${at}.values`, detail));
  } else if (operator === "Gt" || operator === "Lt") {
    const detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
    if (values.length !== 1) causes.push(required(`${at}.values`, detail));
  } else causes.push(invalid(`${at}.operator`, operator, notAnOperator));
  causes.push(...wrong(`${at}.key`, key, checkQualifiedName(key)));
  if (anyValue) return causes;
  return [
    ...causes,
    ...values.flatMap((value, index) =>
      wrong(`${at}.values[${index}]`, value, checkLabelValue(value)),
    ),
  ];
}

/** Of the fields of a node, its name alone can be asked for. */
function validateFieldRequirement(
  { key = "", operator = "", values = [] }: NodeSelectorRequirement,
  at: string,
): FieldCause[] {
  const causes: FieldCause[] = [];
  if (operator === "In" || operator === "NotIn") {
    const detail =
      "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
    if (values.length !== 1) causes.push(required(`${at}.values`, detail));
  } else causes.push(invalid(`${at}.operator`, operator, notAnOperator));
  if (key !== "metadata.name") {
    return [...causes, invalid(`${at}.key`, key, "not a valid field selector key")];
  }
  return [
    ...causes,
    ...values.flatMap((value, index) =>
      wrong(`${at}.values[${index}]`, value, checkSubdomain(value)),
    ),
  ];
}
