/** Probes and lifecycle hooks of containers (upstream `validateProbe` and `validateLifecycle`). */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  Container,
  HTTPGetAction,
  Lifecycle,
  LifecycleHandler,
  Probe,
} from "../../../../proto/gen/core.ts";
import { forbidden, invalid, required } from "../../machinery/causes.ts";
import { wrong } from "../../machinery/field-rules.ts";
import { checkHeaderName } from "../../machinery/names.ts";
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
  if (init && container.restartPolicy !== "Always") {
    const detail = "may not be set for init containers without restartPolicy=Always";
    return (["lifecycle", ...probes] as const)
      .filter((name) => container[name] !== undefined)
      .map((name) => forbidden(`${path}.${name}`, detail));
  }
  const causes = validateLifecycle(container.lifecycle, `${path}.lifecycle`, scope);
  for (const name of probes) {
    const probe = container[name];
    if (probe === undefined) continue;
    const at = `${path}.${name}`;
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
  return causes;
}

function validateLifecycle(
  lifecycle: Lifecycle | undefined,
  path: string,
  { graceSeconds, os }: HookScope,
): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const name of ["postStart", "preStop"] as const) {
    const handler = lifecycle?.[name];
    if (handler === undefined) continue;
    causes.push(...validateHandler(handler, `${path}.${name}`, graceSeconds));
  }
  const stopSignal = lifecycle?.stopSignal;
  if (stopSignal === undefined) return causes;
  return [...causes, ...validateStopSignal(stopSignal, `${path}.stopSignal`, os)];
}

const probes = ["livenessProbe", "readinessProbe", "startupProbe"] as const;
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
  const [chosen, ...others] = handlers.filter((name) => handler[name] !== undefined);
  if (chosen === undefined) return [required(path, "must specify a handler type")];
  const at = `${path}.${chosen}`;
  const { exec, httpGet, tcpSocket, grpc, sleep } = { [chosen]: handler[chosen] } as typeof handler;
  const causes: FieldCause[] = [];
  if (exec !== undefined && (exec.command ?? []).length === 0) {
    causes.push(required(`${at}.command`));
  }
  if (httpGet !== undefined) causes.push(...validateHttp(httpGet, at));
  for (const action of [tcpSocket, grpc]) {
    if (action === undefined) continue;
    causes.push(...validatePortReference(action.port ?? 0, `${at}.port`));
  }
  const seconds = sleep?.seconds ?? 0;
  // A grace period that is itself wrong is reported by itself.
  if (graceSeconds !== undefined && graceSeconds >= 0 && (seconds < 0 || seconds > graceSeconds)) {
    const detail = `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds})`;
    causes.push(invalid(at, seconds, detail));
  }
  return [
    ...causes,
    ...others.map((name) =>
      forbidden(`${path}.${name}`, "may not specify more than 1 handler type"),
    ),
  ];
}

function validateHttp(action: HTTPGetAction, path: string): FieldCause[] {
  const causes = (action.path ?? "") === "" ? [required(`${path}.path`)] : [];
  causes.push(...validatePortReference(action.port ?? 0, `${path}.port`));
  causes.push(...oneOf(action.scheme, ["HTTP", "HTTPS"], `${path}.scheme`));
  // Upstream names the list of the headers.
  const headers = action.httpHeaders ?? [];
  return [
    ...causes,
    ...headers.flatMap(({ name = "" }) =>
      wrong(`${path}.httpHeaders`, name, checkHeaderName(name)),
    ),
  ];
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
