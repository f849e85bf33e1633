/** Probes and lifecycle hooks of containers (upstream `validateProbe` and `validateLifecycle`). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  Container,
  HTTPGetAction,
  LifecycleHandler,
  Probe,
} from "../../../../proto/gen/core.ts";
import { forbidden, invalid, required } from "../../machinery/causes.ts";
import { checkHeaderName } from "../../machinery/names.ts";
import { isSidecar } from "./containers.ts";
import { oneOf } from "./field-checks.ts";
import { validatePortReference } from "./port-validation.ts";

/** What of the pod its probes and hooks depend on. */
export interface HookScope {
  /** Of the container among init containers; a sidecar is one, too. */
  readonly init: boolean;
  readonly graceSeconds: number | undefined;
  /** `os.name` of the pod, if it has one. */
  readonly os: string | undefined;
}

export function validateHooks(container: Container, path: string, scope: HookScope): FieldCause[] {
  const { init, graceSeconds } = scope;
  const sidecar = init && isSidecar(container);
  const notAllowed = "may not be set for init containers without restartPolicy=Always";
  const causes: FieldCause[] = [];
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"] as const) {
    const probe = container[name];
    if (probe === undefined) continue;
    const at = `${path}.${name}`;
    if (init && !sidecar) causes.push(forbidden(at, notAllowed));
    causes.push(...validateProbe(probe, at, graceSeconds));
    if (name !== "readinessProbe" && (probe.successThreshold ?? 1) !== 1) {
      causes.push(invalid(`${at}.successThreshold`, probe.successThreshold, "must be 1"));
    }
    const grace = probe.terminationGracePeriodSeconds;
    if (name === "readinessProbe" && grace !== undefined) {
      const field = `${at}.terminationGracePeriodSeconds`;
      causes.push(invalid(field, grace, "must not be set for readinessProbes"));
    }
  }
  if (container.lifecycle === undefined) return causes;
  const at = `${path}.lifecycle`;
  if (init && !sidecar) causes.push(forbidden(at, notAllowed));
  for (const name of ["postStart", "preStop"] as const) {
    const handler = container.lifecycle[name];
    if (handler === undefined) continue;
    causes.push(...validateHandler(handler, `${at}.${name}`, graceSeconds));
  }
  const { stopSignal } = container.lifecycle;
  if (stopSignal === undefined) return causes;
  return [...causes, ...validateStopSignal(stopSignal, `${at}.stopSignal`, scope.os)];
}

const probeNumbers = [
  "initialDelaySeconds",
  "timeoutSeconds",
  "periodSeconds",
  "successThreshold",
  "failureThreshold",
] as const;

function validateProbe(probe: Probe, path: string, graceSeconds: number | undefined): FieldCause[] {
  const causes = validateHandler(probe, path, graceSeconds);
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

function validateHandler(
  handler: Probe & LifecycleHandler,
  path: string,
  graceSeconds: number | undefined,
): FieldCause[] {
  const chosen = handlers.filter((name) => handler[name] !== undefined);
  const causes: FieldCause[] = [];
  if (chosen.length === 0) causes.push(required(path, "must specify a handler type"));
  for (const name of chosen.slice(1)) {
    causes.push(forbidden(`${path}.${name}`, "may not specify more than 1 handler type"));
  }
  if (handler.exec !== undefined && (handler.exec.command ?? []).length === 0) {
    causes.push(required(`${path}.exec.command`));
  }
  if (handler.httpGet !== undefined) {
    causes.push(...validateHttp(handler.httpGet, `${path}.httpGet`));
  }
  if (handler.tcpSocket !== undefined) {
    causes.push(...validatePortReference(handler.tcpSocket.port, `${path}.tcpSocket.port`));
  }
  if (handler.grpc !== undefined) {
    causes.push(...validatePortReference(handler.grpc.port, `${path}.grpc.port`));
  }
  const seconds = handler.sleep?.seconds ?? 0;
  // A grace period that is itself wrong is reported by itself.
  if (graceSeconds !== undefined && graceSeconds >= 0 && (seconds < 0 || seconds > graceSeconds)) {
    const detail = `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds})`;
    causes.push(invalid(`${path}.sleep`, seconds, detail));
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

const namedSignals =
  "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT " +
  "STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX";
const stopSignals = [
  ...namedSignals.split(" "),
  ...Array.from({ length: 15 }, (_, index) => `RTMIN+${index + 1}`),
  ...Array.from({ length: 14 }, (_, index) => `RTMAX-${index + 1}`),
].map((name) => `SIG${name}`);

function validateStopSignal(signal: string, path: string, os: string | undefined): FieldCause[] {
  if (os === undefined) {
    return [forbidden(path, "may not be set for containers with empty `spec.os.name`")];
  }
  return oneOf(signal, stopSignals, path);
}
