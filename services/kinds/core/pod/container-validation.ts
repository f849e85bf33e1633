/** Containers of a pod (upstream `validation.validateContainers` and what it calls). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  Container,
  ContainerPort,
  EnvVar,
  HTTPGetAction,
  LifecycleHandler,
  Probe,
  VolumeMount,
} from "../../../../proto/gen/core.ts";
import { duplicate, forbidden, invalid, notSupported, required } from "../../machinery/causes.ts";
import {
  checkAddress,
  checkEnvName,
  checkHeaderName,
  checkLabelName,
  checkPort,
  checkPortName,
} from "../../machinery/names.ts";
import { isSidecar } from "./containers.ts";
import { validateResources } from "./resource-validation.ts";

export const protocols = ["TCP", "UDP", "SCTP"];

/** What the containers of one pod must agree on. */
export interface ContainerScope {
  readonly volumes: ReadonlySet<string>;
  /** Names taken so far, of every sort of container. */
  readonly names: Set<string>;
  /** Host ports taken so far by containers that run at the same time. */
  readonly hostPorts: Set<string>;
  readonly init: boolean;
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
    ...oneOf(
      container.imagePullPolicy,
      ["Always", "IfNotPresent", "Never"],
      `${path}.imagePullPolicy`,
    ),
    ...oneOf(
      container.terminationMessagePolicy,
      ["File", "FallbackToLogsOnError"],
      `${path}.terminationMessagePolicy`,
    ),
    ...validatePorts(container.ports ?? [], `${path}.ports`, scope),
    ...validateEnv(container.env ?? [], `${path}.env`),
    ...validateEnvFrom(container, `${path}.envFrom`),
    ...validateMounts(container.volumeMounts ?? [], `${path}.volumeMounts`, scope.volumes),
    ...validateResources(container.resources, `${path}.resources`),
    ...validateProbes(container, path, scope.init),
  );
  if (container.restartPolicy !== undefined) {
    const field = `${path}.restartPolicy`;
    if (scope.init) causes.push(...oneOf(container.restartPolicy, ["Always"], field));
    else causes.push(forbidden(field, "may not be set for non-init containers"));
  }
  return causes;
}

export function oneOf(
  value: string | undefined,
  supported: readonly string[],
  path: string,
): FieldCause[] {
  if (value === undefined || supported.includes(value)) return [];
  return [notSupported(path, value, supported)];
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

export function validatePort(port: number, path: string): FieldCause[] {
  return checkPort(port).map((problem) => invalid(path, port, problem));
}

/** A port by number or by name. */
export function validatePortReference(port: unknown, path: string): FieldCause[] {
  if (typeof port === "number") return validatePort(port, path);
  if (typeof port !== "string") return [required(path)];
  return checkPortName(port).map((problem) => invalid(path, port, problem));
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
    if (valueFrom.fieldRef !== undefined && (valueFrom.fieldRef.fieldPath ?? "") === "") {
      causes.push(required(`${from}.fieldRef.fieldPath`));
    }
    if (valueFrom.resourceFieldRef !== undefined && !valueFrom.resourceFieldRef.resource) {
      causes.push(required(`${from}.resourceFieldRef.resource`));
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
      causes.push({
        reason: "FieldValueNotFound",
        message: `Not found: ${JSON.stringify(name)}`,
        field: `${at}.name`,
      });
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

/** A path that stays below where it starts. */
export function relativePath(path: string, field: string): FieldCause[] {
  if (path.startsWith("/")) return [invalid(field, path, "must be a relative path")];
  if (path.split("/").includes("..")) return [invalid(field, path, "must not contain '..'")];
  return [];
}

function validateProbes(container: Container, path: string, init: boolean): FieldCause[] {
  const sidecar = init && isSidecar(container);
  const causes: FieldCause[] = [];
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"] as const) {
    const probe = container[name];
    if (probe === undefined) continue;
    const at = `${path}.${name}`;
    if (init && !sidecar) {
      causes.push(forbidden(at, "may not be set for init containers without restartPolicy=Always"));
    }
    causes.push(...validateProbe(probe, at));
    if (name !== "readinessProbe" && (probe.successThreshold ?? 1) !== 1) {
      causes.push(invalid(`${at}.successThreshold`, probe.successThreshold, "must be 1"));
    }
  }
  if (container.lifecycle === undefined) return causes;
  const at = `${path}.lifecycle`;
  if (init && !sidecar) {
    causes.push(forbidden(at, "may not be set for init containers without restartPolicy=Always"));
  }
  for (const name of ["postStart", "preStop"] as const) {
    const handler = container.lifecycle[name];
    if (handler !== undefined) causes.push(...validateHandler(handler, `${at}.${name}`));
  }
  return causes;
}

const probeNumbers = [
  "initialDelaySeconds",
  "timeoutSeconds",
  "periodSeconds",
  "successThreshold",
  "failureThreshold",
] as const;

function validateProbe(probe: Probe, path: string): FieldCause[] {
  const causes = validateHandler(probe, path);
  for (const name of probeNumbers) {
    const number = probe[name] ?? 0;
    if (number >= 0) continue;
    causes.push(invalid(`${path}.${name}`, number, "must be greater than or equal to 0"));
  }
  const grace = probe.terminationGracePeriodSeconds;
  if (grace !== undefined && grace <= 0) {
    causes.push(invalid(`${path}.terminationGracePeriodSeconds`, grace, "must be greater than 0"));
  }
  return causes;
}

const handlers = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] as const;

function validateHandler(handler: Probe & LifecycleHandler, path: string): FieldCause[] {
  const chosen = handlers.filter((name) => handler[name] !== undefined);
  const causes: FieldCause[] = [];
  if (chosen.length === 0) causes.push(required(path, "must specify a handler type"));
  for (const name of chosen.slice(1)) {
    causes.push(forbidden(`${path}.${name}`, "may not specify more than 1 handler type"));
  }
  if (handler.exec !== undefined && (handler.exec.command ?? []).length === 0) {
    causes.push(required(`${path}.exec.command`));
  }
  if (handler.httpGet !== undefined)
    causes.push(...validateHttp(handler.httpGet, `${path}.httpGet`));
  if (handler.tcpSocket !== undefined) {
    causes.push(...validatePortReference(handler.tcpSocket.port, `${path}.tcpSocket.port`));
  }
  if (handler.grpc !== undefined) {
    causes.push(...validatePortReference(handler.grpc.port, `${path}.grpc.port`));
  }
  return causes;
}

function validateHttp(action: HTTPGetAction, path: string): FieldCause[] {
  const causes = validatePortReference(action.port, `${path}.port`);
  if ((action.path ?? "") === "") causes.push(required(`${path}.path`));
  causes.push(...oneOf(action.scheme, ["HTTP", "HTTPS"], `${path}.scheme`));
  action.httpHeaders?.forEach(({ name = "" }, index) => {
    for (const problem of checkHeaderName(name)) {
      causes.push(invalid(`${path}.httpHeaders[${index}].name`, name, problem));
    }
  });
  return causes;
}
