/** Containers of a pod (upstream `validation.validateContainers` and what it calls). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  Container,
  ContainerPort,
  EnvVar,
  EnvVarSource,
  Volume,
} from "../../../../proto/gen/core.ts";
import { duplicate, forbidden, invalid, required } from "../../machinery/causes.ts";
import { wrong } from "../../machinery/field-rules.ts";
import {
  checkConfigKey,
  checkEnvName,
  checkLabelName,
  checkPortName,
  checkSubdomain,
} from "../../machinery/names.ts";
import { imagePullPolicies, oneOf, requiredAmong } from "./field-checks.ts";
import { type HookScope, validateHooks } from "./hook-validation.ts";
import { validateDevices, validateMounts } from "./mount-validation.ts";
import { protocols, validatePort } from "./port-validation.ts";
import {
  validateFieldReference,
  validateResourceReference,
  variableFields,
} from "./reference-validation.ts";
import { validateResources } from "./resource-validation.ts";
import { validateContainerSecurity } from "./security-validation.ts";

/** What the containers of one pod must agree on. */
export interface ContainerScope extends HookScope {
  readonly volumes: ReadonlyMap<string, Volume>;
  /** Names taken so far, of every sort of container. */
  readonly names: Set<string>;
  /** Host ports taken so far by containers that run at the same time. */
  readonly hostPorts: Set<string>;
  /** Whether the pod uses the user namespace of its node. */
  readonly hostUsers: boolean;
  /** Names of the pod's resource claims. */
  readonly claims: ReadonlySet<string>;
  /** That of the pod. */
  readonly restartPolicy: string | undefined;
}

export function validateContainer(
  container: Container,
  path: string,
  scope: ContainerScope,
): FieldCause[] {
  const { name = "", image = "" } = container;
  const causes: FieldCause[] = [];
  if (name === "") causes.push(required(`${path}.name`));
  else causes.push(...wrong(`${path}.name`, name, checkLabelName(name)));
  if (image === "") causes.push(required(`${path}.image`));
  causes.push(
    ...requiredAmong(
      container.terminationMessagePolicy,
      ["File", "FallbackToLogsOnError"],
      `${path}.terminationMessagePolicy`,
    ),
    ...validatePorts(container.ports ?? [], `${path}.ports`),
    ...validateEnv(container.env ?? [], `${path}.env`),
    ...validateEnvFrom(container, `${path}.envFrom`),
    ...validateMounts(container, `${path}.volumeMounts`, scope.volumes),
    ...validateDevices(container, `${path}.volumeDevices`, scope.volumes),
    ...requiredAmong(container.imagePullPolicy, imagePullPolicies, `${path}.imagePullPolicy`),
    ...validateResources(container.resources, `${path}.resources`, scope.claims),
    ...validateResizePolicy(container, `${path}.resizePolicy`, scope.restartPolicy),
  );
  if (container.securityContext !== undefined) {
    const at = `${path}.securityContext`;
    causes.push(...validateContainerSecurity(container.securityContext, at, scope.hostUsers));
  }
  if (!scope.hostUsers && (container.volumeDevices ?? []).length > 0) {
    causes.push(forbidden(`${path}.volumeDevices`, "when `hostUsers` is false"));
  }
  if (scope.names.has(name)) causes.push(duplicate(`${path}.name`, name));
  if (name !== "") scope.names.add(name);
  if (container.restartPolicy !== undefined) {
    const field = `${path}.restartPolicy`;
    if (scope.init) causes.push(...oneOf(container.restartPolicy, ["Always"], field));
    else causes.push(forbidden(field, "may not be set for non-init containers"));
  }
  causes.push(...validateHooks(container, path, scope));
  return [...causes, ...takeHostPorts(container.ports ?? [], `${path}.ports`, scope.hostPorts)];
}

/** Templates may have an image for a tool to replace: only that of a pod must be one. */
export function validateImageOfPod({ image = "" }: Container, path: string): FieldCause[] {
  if (image === image.trim()) return [];
  return [invalid(`${path}.image`, image, "must not have leading or trailing whitespace")];
}

/** Upstream's `validateResizePolicy`, which names the list and not its elements. */
function validateResizePolicy(
  container: Container,
  path: string,
  podRestartPolicy: string | undefined,
): FieldCause[] {
  const seen = new Set<string>();
  return (container.resizePolicy ?? []).flatMap((policy, index) => {
    const { resourceName = "", restartPolicy = "" } = policy;
    const causes = seen.has(resourceName) ? [duplicate(`${path}[${index}]`, resourceName)] : [];
    seen.add(resourceName);
    for (const [value, supported] of [
      [resourceName, ["cpu", "memory"]],
      [restartPolicy, ["NotRequired", "RestartContainer"]],
    ] as const) {
      if (value === "") causes.push(required(path));
      else causes.push(...oneOf(value, supported, path));
    }
    if (podRestartPolicy === "Never" && restartPolicy !== "NotRequired") {
      const detail = "must be 'NotRequired' when `restartPolicy` is 'Never'";
      causes.push(invalid(path, restartPolicy, detail));
    }
    return causes;
  });
}

function validatePorts(ports: readonly ContainerPort[], path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const names = new Set<string>();
  ports.forEach((port, index) => {
    const at = `${path}[${index}]`;
    const { name = "", containerPort = 0, hostPort = 0, protocol } = port;
    if (name !== "") {
      const problems = wrong(`${at}.name`, name, checkPortName(name));
      causes.push(...problems);
      if (names.has(name)) causes.push(duplicate(`${at}.name`, name));
      if (problems.length === 0) names.add(name);
    }
    if (containerPort === 0) causes.push(required(`${at}.containerPort`));
    else causes.push(...validatePort(containerPort, `${at}.containerPort`));
    if (hostPort !== 0) causes.push(...validatePort(hostPort, `${at}.hostPort`));
    if (protocol === undefined || protocol === "") causes.push(required(`${at}.protocol`));
    else causes.push(...oneOf(protocol, protocols, `${at}.protocol`));
  });
  return causes;
}

function takeHostPorts(
  ports: readonly ContainerPort[],
  path: string,
  taken: Set<string>,
): FieldCause[] {
  return ports.flatMap(({ hostPort = 0, protocol = "", hostIP = "" }, index) => {
    if (hostPort === 0) return [];
    const key = `${protocol}/${hostIP}/${hostPort}`;
    if (taken.has(key)) return [duplicate(`${path}[${index}].hostPort`, key)];
    taken.add(key);
    return [];
  });
}

function validateEnv(variables: readonly EnvVar[], path: string): FieldCause[] {
  const causes: FieldCause[] = [];
  // A pod may have hundreds: no path is put together for one that is in order.
  for (const [index, { name = "", value = "", valueFrom }] of variables.entries()) {
    if (name === "") causes.push(required(`${path}[${index}].name`));
    else {
      for (const problem of checkEnvName(name)) {
        causes.push(invalid(`${path}[${index}].name`, name, problem));
      }
    }
    if (valueFrom === undefined) continue;
    causes.push(...validateValueSource(valueFrom, value, `${path}[${index}].valueFrom`));
  }
  return causes;
}

/** Upstream's `validateEnvVarValueFrom`. */
function validateValueSource(source: EnvVarSource, value: string, path: string): FieldCause[] {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = source;
  const causes: FieldCause[] = [];
  if (fieldRef !== undefined) {
    causes.push(...validateFieldReference(fieldRef, variableFields, `${path}.fieldRef`));
  }
  if (resourceFieldRef !== undefined) {
    const at = `${path}.resourceFieldRef`;
    causes.push(...validateResourceReference(resourceFieldRef, at, false));
  }
  for (const [kind, reference] of Object.entries({ configMapKeyRef, secretKeyRef })) {
    if (reference === undefined) continue;
    const { name = "", key = "" } = reference;
    causes.push(...wrong(`${path}.${kind}.name`, name, checkSubdomain(name)));
    if (key === "") causes.push(required(`${path}.${kind}.key`));
    else causes.push(...wrong(`${path}.${kind}.key`, key, checkConfigKey(key)));
  }
  const given = Object.keys(source).length;
  if (given === 0) {
    const options = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
    causes.push(invalid(path, "", `must specify one of: ${options}`));
  } else if (value !== "") {
    causes.push(invalid(path, "", "may not be specified when `value` is not empty"));
  } else if (given > 1) {
    causes.push(invalid(path, "", "may not have more than one field specified at a time"));
  }
  return causes;
}

/** Where an element has not one source, upstream names the list. */
function validateEnvFrom(container: Container, path: string): FieldCause[] {
  return (container.envFrom ?? []).flatMap((source, index) => {
    const at = `${path}[${index}]`;
    const { prefix = "", configMapRef, secretRef } = source;
    const causes = prefix === "" ? [] : wrong(`${at}.prefix`, prefix, checkEnvName(prefix));
    for (const [kind, reference] of Object.entries({ configMapRef, secretRef })) {
      if (reference === undefined) continue;
      const { name = "" } = reference;
      if (name === "") causes.push(required(`${at}.${kind}.name`));
      else causes.push(...wrong(`${at}.${kind}.name`, name, checkNamePrefix(name)));
    }
    if (configMapRef === undefined && secretRef === undefined) {
      causes.push(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"));
    } else if (configMapRef !== undefined && secretRef !== undefined) {
      causes.push(invalid(path, "", "may not have more than one field specified at a time"));
    }
    return causes;
  });
}

/** Upstream checks these names as if something could still be appended to them. */
function checkNamePrefix(name: string): string[] {
  return checkSubdomain(name.replace(/-$/, "a"));
}
