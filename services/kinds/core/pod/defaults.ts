/** What a pod spec gets where its author said nothing (upstream `core/v1/defaults.go`). */
import type {
  Container,
  DownwardAPIVolumeFile,
  HTTPGetAction,
  Lifecycle,
  ObjectFieldSelector,
  PodSpec,
  Probe,
  ResourceFieldSelector,
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
  // What no pod can have becomes the shortest grace that there is.
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) spec.terminationGracePeriodSeconds = 1;
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
  spec.restartPolicy ||= "Always";
  spec.terminationGracePeriodSeconds ??= 30;
  spec.dnsPolicy ||= "ClusterFirst";
  spec.schedulerName ||= "default-scheduler";
  spec.securityContext ??= {};
  if (spec.serviceAccountName) spec.serviceAccount = spec.serviceAccountName;
  else if (spec.serviceAccount) spec.serviceAccountName = spec.serviceAccount;
  canonicalise(spec.overhead);
  canonicalise(spec.resources?.limits);
  canonicalise(spec.resources?.requests);
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    setContainerDefaults(container);
  }
  for (const container of spec.ephemeralContainers ?? []) setContainerDefaults(container);
  for (const volume of spec.volumes ?? []) setVolumeDefaults(volume);
}

function setContainerDefaults(container: Container): void {
  container.imagePullPolicy ||= pullPolicyOf(container.image ?? "");
  container.terminationMessagePath ||= "/dev/termination-log";
  container.terminationMessagePolicy ||= "File";
  for (const port of container.ports ?? []) port.protocol ||= "TCP";
  container.resources ??= {};
  canonicalise(container.resources.limits);
  canonicalise(container.resources.requests);
  for (const variable of container.env ?? []) {
    const { valueFrom } = variable;
    setFieldRefDefaults(valueFrom?.fieldRef);
    setDivisor(valueFrom?.resourceFieldRef);
  }
  setProbeDefaults(container.livenessProbe);
  setProbeDefaults(container.readinessProbe);
  setProbeDefaults(container.startupProbe);
  setLifecycleDefaults(container.lifecycle);
}

/**
 * Always for the tag `latest`, which an image has that names neither tag nor digest. What is no
 * image has no tag.
 */
export function pullPolicyOf(image: string): "Always" | "IfNotPresent" {
  const [name = "", digest] = image.split("@");
  const [last = "", tag] = name.slice(name.lastIndexOf("/") + 1).split(":");
  const repository = name.slice(0, name.lastIndexOf("/") + 1) + last;
  if (!isRepository(repository)) return "IfNotPresent";
  const meant = tag ?? (digest === undefined ? "latest" : "");
  return meant === "latest" ? "Always" : "IfNotPresent";
}

const repositoryLengthMax = 255;
const hostExpression =
  /^(?:(?!-)[A-Za-z0-9-]+(?<!-)(?:\.(?!-)[A-Za-z0-9-]+(?<!-))*|\[[A-Fa-f0-9:]+\])(?::[0-9]+)?$/;
const pathExpression = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;

/** The grammar of image names (distribution `reference`): a registry, if any, and a path. */
function isRepository(name: string): boolean {
  const [first = "", ...rest] = name.split("/");
  const hasHost = rest.length > 0 && (/[.:A-Z]/.test(first) || first === "localhost");
  const parts = hasHost ? rest : [first, ...rest];
  if (hasHost && !hostExpression.test(first)) return false;
  if (!hasHost && /^[a-f0-9]{64}$/.test(name)) return false;
  // An image without a host is one of Docker's, whose official images have a path of their own.
  const path = !hasHost && rest.length === 0 ? `library/${first}` : parts.join("/");
  if (path.length > repositoryLengthMax) return false;
  return parts.every((part) => pathExpression.test(part));
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
  action.scheme ||= "HTTP";
}

function setFieldRefDefaults(reference: ObjectFieldSelector | undefined): void {
  if (reference !== undefined) reference.apiVersion ||= "v1";
}

function setFileDefaults(files: readonly DownwardAPIVolumeFile[] | undefined): void {
  for (const { fieldRef, resourceFieldRef } of files ?? []) {
    setFieldRefDefaults(fieldRef);
    setDivisor(resourceFieldRef);
  }
}

function setDivisor(source: ResourceFieldSelector | undefined): void {
  if (source !== undefined) source.divisor = canonicalQuantity(source.divisor ?? "0");
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
    setFileDefaults(volume.downwardAPI.items);
  }
  const claim = volume.ephemeral?.volumeClaimTemplate?.spec;
  if (claim !== undefined) setClaimSpecDefaults(claim);
  if (volume.image !== undefined) {
    volume.image.pullPolicy ||= pullPolicyOf(volume.image.reference ?? "");
  }
  if (volume.projected === undefined) return;
  volume.projected.defaultMode ??= fileMode;
  for (const source of volume.projected.sources ?? []) {
    setFileDefaults(source.downwardAPI?.items);
    if (source.serviceAccountToken !== undefined) {
      source.serviceAccountToken.expirationSeconds ??= 3600;
    }
  }
}
