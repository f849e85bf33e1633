/** The objects that a pod names: what its node must be able to read. */
import type { Container, Pod } from "../../../../proto/gen/core.ts";
import { claimNameOf } from "./claims.ts";

export interface PodReferences {
  readonly secrets: ReadonlySet<string>;
  readonly configMaps: ReadonlySet<string>;
  /** PersistentVolumeClaims, those of ephemeral volumes too. */
  readonly claims: ReadonlySet<string>;
  readonly serviceAccount: string;
}

/** Names in the pod's own namespace, from volumes, environments and image pull secrets. */
export function referencesOf(pod: Pod): PodReferences {
  const secrets = new Set<string>();
  const configMaps = new Set<string>();
  const claims = new Set<string>();
  const note = (set: Set<string>, name: string | undefined) => {
    if (name !== undefined && name !== "") set.add(name);
  };
  const { spec = {} } = pod;
  for (const { name } of spec.imagePullSecrets ?? []) note(secrets, name);
  for (const volume of spec.volumes ?? []) {
    note(secrets, volume.secret?.secretName);
    note(configMaps, volume.configMap?.name);
    note(claims, claimNameOf(pod, volume));
    for (const source of volume.projected?.sources ?? []) {
      note(secrets, source.secret?.name);
      note(configMaps, source.configMap?.name);
    }
  }
  const containers: readonly Container[] = [
    ...(spec.initContainers ?? []),
    ...(spec.containers ?? []),
  ];
  for (const { env = [], envFrom = [] } of containers) {
    for (const { valueFrom } of env) {
      note(secrets, valueFrom?.secretKeyRef?.name);
      note(configMaps, valueFrom?.configMapKeyRef?.name);
    }
    for (const { secretRef, configMapRef } of envFrom) {
      note(secrets, secretRef?.name);
      note(configMaps, configMapRef?.name);
    }
  }
  return { secrets, configMaps, claims, serviceAccount: spec.serviceAccountName || "default" };
}
