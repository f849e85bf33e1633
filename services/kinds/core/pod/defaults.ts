/** What a pod spec gets where its author said nothing (upstream `core/v1/defaults.go`). */
import type {
  Container,
  HTTPGetAction,
  Lifecycle,
  ObjectFieldSelector,
  PodSpec,
  Probe,
  ResourceRequirements,
  Volume,
} from "../../../../proto/gen/core.ts";
import { canonicalise, canonicalQuantity } from "../../machinery/quantity.ts";
import { setClaimSpecDefaults } from "../claim-spec.ts";

const fileMode = 0o644;

/**
 * Of pods themselves: what a template leaves to the pods that are made from it (upstream
 * `SetDefaults_Pod`).
 */
export function setPodDefaults(spec: PodSpec): void {
  setPodSpecDefaults(spec);
  spec.enableServiceLinks ??= true;
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    const { resources } = container;
    if (resources !== undefined) setRequestDefaults(resources);
    if (spec.hostNetwork !== true) continue;
    for (const port of container.ports ?? []) {
      if (port.containerPort !== undefined) port.hostPort ||= port.containerPort;
    }
  }
}

/** Of pods and of templates (upstream `SetDefaults_PodSpec`). */
export function setPodSpecDefaults(spec: PodSpec): void {
  spec.restartPolicy ??= "Always";
  spec.terminationGracePeriodSeconds ??= 30;
  spec.dnsPolicy ??= "ClusterFirst";
  spec.schedulerName ??= "default-scheduler";
  spec.securityContext ??= {};
  if (spec.serviceAccountName !== undefined) spec.serviceAccount ??= spec.serviceAccountName;
  else if (spec.serviceAccount !== undefined) spec.serviceAccountName = spec.serviceAccount;
  canonicalise(spec.overhead);
  canonicalise(spec.resources?.limits);
  canonicalise(spec.resources?.requests);
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    setContainerDefaults(container);
  }
  for (const container of spec.ephemeralContainers ?? []) setContainerDefaults(container);
  for (const volume of spec.volumes ?? []) setVolumeDefaults(volume);
  for (const constraint of spec.topologySpreadConstraints ?? []) {
    constraint.nodeAffinityPolicy ??= "Honor";
    constraint.nodeTaintsPolicy ??= "Ignore";
  }
}

function setContainerDefaults(container: Container): void {
  container.imagePullPolicy ??= pullPolicyOf(container.image ?? "");
  container.terminationMessagePath ??= "/dev/termination-log";
  container.terminationMessagePolicy ??= "File";
  for (const port of container.ports ?? []) {
    port.protocol ??= "TCP";
  }
  container.resources ??= {};
  canonicalise(container.resources.limits);
  canonicalise(container.resources.requests);
  for (const variable of container.env ?? []) {
    const { valueFrom } = variable;
    setFieldRefDefaults(valueFrom?.fieldRef);
    const source = valueFrom?.resourceFieldRef;
    if (source !== undefined) source.divisor = canonicalQuantity(source.divisor ?? "0");
  }
  setProbeDefaults(container.livenessProbe);
  setProbeDefaults(container.readinessProbe);
  setProbeDefaults(container.startupProbe);
  setLifecycleDefaults(container.lifecycle);
}

/** Always for the tag `latest`, which an image has that names neither tag nor digest. */
export function pullPolicyOf(image: string): "Always" | "IfNotPresent" {
  const [name = "", digest] = image.split("@");
  const [, tag] = name.slice(name.lastIndexOf("/") + 1).split(":");
  const meant = tag ?? (digest === undefined ? "latest" : "");
  return meant === "latest" ? "Always" : "IfNotPresent";
}

/** Requests default to the limits, resource by resource. */
function setRequestDefaults(resources: ResourceRequirements): void {
  for (const [name, limit] of Object.entries(resources.limits ?? {})) {
    resources.requests ??= {};
    resources.requests[name] ??= limit;
  }
}

function setProbeDefaults(probe: Probe | undefined): void {
  if (probe === undefined) return;
  probe.timeoutSeconds ||= 1;
  probe.periodSeconds ||= 10;
  probe.successThreshold ||= 1;
  probe.failureThreshold ||= 3;
  if (probe.grpc !== undefined) probe.grpc.service ??= "";
  setHttpDefaults(probe.httpGet);
}

function setLifecycleDefaults(lifecycle: Lifecycle | undefined): void {
  setHttpDefaults(lifecycle?.postStart?.httpGet);
  setHttpDefaults(lifecycle?.preStop?.httpGet);
}

function setHttpDefaults(action: HTTPGetAction | undefined): void {
  if (action === undefined) return;
  action.path ||= "/";
  action.scheme ??= "HTTP";
}

function setFieldRefDefaults(reference: ObjectFieldSelector | undefined): void {
  if (reference !== undefined) reference.apiVersion ??= "v1";
}

function setVolumeDefaults(volume: Volume): void {
  const sources = Object.keys(volume).filter((name) => name !== "name");
  if (sources.length === 0) volume.emptyDir = {};
  if (volume.emptyDir?.sizeLimit !== undefined) {
    volume.emptyDir.sizeLimit = canonicalQuantity(volume.emptyDir.sizeLimit);
  }
  if (volume.hostPath !== undefined) volume.hostPath.type ??= "";
  if (volume.secret !== undefined) volume.secret.defaultMode ??= fileMode;
  if (volume.configMap !== undefined) volume.configMap.defaultMode ??= fileMode;
  if (volume.downwardAPI !== undefined) {
    volume.downwardAPI.defaultMode ??= fileMode;
    for (const item of volume.downwardAPI.items ?? []) setFieldRefDefaults(item.fieldRef);
  }
  const claim = volume.ephemeral?.volumeClaimTemplate?.spec;
  if (claim !== undefined) setClaimSpecDefaults(claim);
  if (volume.image !== undefined) {
    volume.image.pullPolicy ??= pullPolicyOf(volume.image.reference ?? "");
  }
  if (volume.projected === undefined) return;
  volume.projected.defaultMode ??= fileMode;
  for (const source of volume.projected.sources ?? []) {
    for (const item of source.downwardAPI?.items ?? []) setFieldRefDefaults(item.fieldRef);
    if (source.serviceAccountToken !== undefined) {
      source.serviceAccountToken.expirationSeconds ??= 3600;
    }
  }
}
