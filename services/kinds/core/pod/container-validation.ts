/** Containers of a pod (upstream `validation.validateContainers` and what it calls). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { Container, ContainerPort, EnvVar, VolumeMount } from "../../../../proto/gen/core.ts";
import { duplicate, forbidden, invalid, notFound, required } from "../../machinery/causes.ts";
import {
  checkAddress,
  checkEnvName,
  checkLabelName,
  checkPortName,
} from "../../machinery/names.ts";
import { imagePullPolicies, oneOf, relativePath } from "./field-checks.ts";
import { type HookScope, validateHooks } from "./hook-validation.ts";
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
  readonly volumes: ReadonlySet<string>;
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
  else {
    for (const problem of checkLabelName(name)) causes.push(invalid(`${path}.name`, name, problem));
    if (scope.names.has(name)) causes.push(duplicate(`${path}.name`, name));
    scope.names.add(name);
  }
  if (image === "") causes.push(required(`${path}.image`));
  else if (image !== image.trim()) {
    causes.push(invalid(`${path}.image`, image, "must not have leading or trailing whitespace"));
  }
  causes.push(
    ...oneOf(container.imagePullPolicy, imagePullPolicies, `${path}.imagePullPolicy`),
    ...oneOf(
      container.terminationMessagePolicy,
      ["File", "FallbackToLogsOnError"],
      `${path}.terminationMessagePolicy`,
    ),
    ...validatePorts(container.ports ?? [], `${path}.ports`, scope),
    ...validateEnv(container.env ?? [], `${path}.env`),
    ...validateEnvFrom(container, `${path}.envFrom`),
    ...validateMounts(container.volumeMounts ?? [], `${path}.volumeMounts`, scope.volumes),
    ...validateResources(container.resources, `${path}.resources`, scope.claims),
    ...validateResizePolicy(container, `${path}.resizePolicy`, scope.restartPolicy),
    ...validateHooks(container, path, scope),
  );
  if (container.securityContext !== undefined) {
    const at = `${path}.securityContext`;
    causes.push(...validateContainerSecurity(container.securityContext, at, scope.hostUsers));
  }
  if (container.restartPolicy !== undefined) {
    const field = `${path}.restartPolicy`;
    if (scope.init) causes.push(...oneOf(container.restartPolicy, ["Always"], field));
    else causes.push(forbidden(field, "may not be set for non-init containers"));
  }
  return causes;
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

function validatePorts(
  ports: readonly ContainerPort[],
  path: string,
  scope: ContainerScope,
): FieldCause[] {
  const causes: FieldCause[] = [];
  const names = new Set<string>();
  ports.forEach((port, index) => {
    const at = `${path}[${index}]`;
    const { name = "", containerPort, hostPort, protocol, hostIP = "" } = port;
    if (name !== "") {
      for (const problem of checkPortName(name)) causes.push(invalid(`${at}.name`, name, problem));
      if (names.has(name)) causes.push(duplicate(`${at}.name`, name));
      names.add(name);
    }
    if (containerPort === undefined || containerPort === 0) {
      causes.push(required(`${at}.containerPort`));
    } else causes.push(...validatePort(containerPort, `${at}.containerPort`));
    if (hostPort !== undefined && hostPort !== 0) {
      causes.push(...validatePort(hostPort, `${at}.hostPort`));
      const key = `${protocol ?? ""}/${hostIP}/${hostPort}`;
      if (scope.hostPorts.has(key)) causes.push(duplicate(`${at}.hostPort`, key));
      scope.hostPorts.add(key);
    }
    if (hostIP !== "") {
      for (const problem of checkAddress(hostIP)) {
        causes.push(invalid(`${at}.hostIP`, hostIP, problem));
      }
    }
    if (protocol === undefined || protocol === "") causes.push(required(`${at}.protocol`));
    else causes.push(...oneOf(protocol, protocols, `${at}.protocol`));
  });
  return causes;
}

function validateEnv(variables: readonly EnvVar[], path: string): FieldCause[] {
  return variables.flatMap((variable, index) => {
    const { name = "", value = "", valueFrom } = variable;
    const at = `${path}[${index}]`;
    const causes: FieldCause[] = [];
    if (name === "") causes.push(required(`${at}.name`));
    else {
      for (const problem of checkEnvName(name)) causes.push(invalid(`${at}.name`, name, problem));
    }
    if (valueFrom === undefined) return causes;
    const from = `${at}.valueFrom`;
    const sources = Object.keys(valueFrom).length;
    if (value !== "" && sources > 0) {
      causes.push(invalid(from, "", "may not be specified when `value` is not empty"));
    }
    if (sources === 0) {
      const options = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
      causes.push(invalid(from, "", `must specify one of: ${options}`));
    } else if (sources > 1) {
      causes.push(invalid(from, "", "may not have more than one field specified at a time"));
    }
    for (const kind of ["configMapKeyRef", "secretKeyRef"] as const) {
      const reference = valueFrom[kind];
      if (reference === undefined) continue;
      if ((reference.name ?? "") === "") causes.push(required(`${from}.${kind}.name`));
      if ((reference.key ?? "") === "") causes.push(required(`${from}.${kind}.key`));
    }
    const { fieldRef, resourceFieldRef } = valueFrom;
    if (fieldRef !== undefined) {
      causes.push(...validateFieldReference(fieldRef, variableFields, `${from}.fieldRef`));
    }
    if (resourceFieldRef !== undefined) {
      const at = `${from}.resourceFieldRef`;
      causes.push(...validateResourceReference(resourceFieldRef, at, false));
    }
    return causes;
  });
}

function validateEnvFrom(container: Container, path: string): FieldCause[] {
  return (container.envFrom ?? []).flatMap((source, index) => {
    const at = `${path}[${index}]`;
    const { prefix = "", configMapRef, secretRef } = source;
    const causes =
      prefix === ""
        ? []
        : checkEnvName(prefix).map((problem) => invalid(`${at}.prefix`, prefix, problem));
    if (configMapRef === undefined && secretRef === undefined) {
      causes.push(invalid(at, "", "must specify one of: `configMapRef` or `secretRef`"));
    } else if (configMapRef !== undefined && secretRef !== undefined) {
      causes.push(invalid(at, "", "may not have more than one field specified at a time"));
    }
    if (configMapRef !== undefined && !configMapRef.name) {
      causes.push(required(`${at}.configMapRef.name`));
    }
    if (secretRef !== undefined && !secretRef.name) causes.push(required(`${at}.secretRef.name`));
    return causes;
  });
}

function validateMounts(
  mounts: readonly VolumeMount[],
  path: string,
  volumes: ReadonlySet<string>,
): FieldCause[] {
  const causes: FieldCause[] = [];
  const paths = new Set<string>();
  mounts.forEach((mount, index) => {
    const { name = "", mountPath = "", subPath = "", subPathExpr = "" } = mount;
    const at = `${path}[${index}]`;
    if (name === "") causes.push(required(`${at}.name`));
    else if (!volumes.has(name)) {
      causes.push(notFound(`${at}.name`, name));
    }
    if (mountPath === "") causes.push(required(`${at}.mountPath`));
    if (mountPath.includes(":")) {
      causes.push(invalid(`${at}.mountPath`, mountPath, "must not contain ':'"));
    }
    if (paths.has(mountPath)) {
      causes.push(invalid(`${at}.mountPath`, mountPath, "must be unique"));
    }
    paths.add(mountPath);
    causes.push(
      ...relativePath(subPath, `${at}.subPath`),
      ...relativePath(subPathExpr, `${at}.subPathExpr`),
    );
    if (subPath !== "" && subPathExpr !== "") {
      causes.push(
        invalid(`${at}.subPathExpr`, subPathExpr, "subPathExpr and subPath are mutually exclusive"),
      );
    }
  });
  return causes;
}
