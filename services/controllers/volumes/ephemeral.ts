/** Makes the claims of pods' ephemeral volumes (upstream `pkg/controller/volume/ephemeral`). */
import type { PersistentVolumeClaim, Pod, Volume } from "../../../proto/gen/core.ts";
import { keyOf, splitKey } from "../../client/mod.ts";
import { claimNameOf, notOfPod } from "../../kinds/facts.ts";
import { controllerReference } from "../owners.ts";
import type { Controller, ControllerContext } from "../types.ts";

/** The pod owns its claims: they go with it. */
export function ephemeralVolumeController(workers: number): Controller {
  return {
    name: "ephemeral-volume",
    component: "ephemeral_volume",
    informers: ["Pod", "PersistentVolumeClaim"],
    workers,
    start(context) {
      const { informer, on, queue, recorder } = context;
      on("Pod", {
        added: (pod) => {
          const leaving = pod.metadata?.deletionTimestamp !== undefined;
          if (!leaving && pod.spec?.volumes?.some(isEphemeral)) queue.add(keyOf(pod));
        },
      });
      // The pod gets its claim anew, or for the first time if another's had the name.
      on("PersistentVolumeClaim", {
        deleted: ({ metadata }) => {
          for (const pod of informer("Pod").lister.list(metadata?.namespace)) {
            const own = (pod.spec?.volumes ?? []).filter(isEphemeral);
            if (own.some((one) => claimNameOf(pod, one) === metadata?.name)) queue.add(keyOf(pod));
          }
        },
      });
      return async (key) => {
        const { name, namespace } = splitKey(key);
        const pod = informer("Pod").lister.get(name, namespace);
        if (pod === undefined || pod.metadata?.deletionTimestamp !== undefined) return;
        for (const volume of (pod.spec?.volumes ?? []).filter(isEphemeral)) {
          try {
            await ensureClaim(context, pod, volume);
          } catch (error) {
            const problem = `ephemeral volume ${volume.name}: ${(error as Error).message}`;
            const about = { ...pod, apiVersion: "v1", kind: "Pod" };
            recorder.event(about, "Warning", "FailedBinding", problem);
            throw new Error(`pod ${key}, ${problem}`, { cause: error });
          }
        }
      };
    },
  };
}

const isEphemeral = ({ ephemeral }: Volume): boolean => ephemeral !== undefined;

/** Throws when a claim of that name belongs to another, or the API refuses it. */
async function ensureClaim(
  { client, informer, write }: ControllerContext,
  pod: Pod,
  volume: Volume,
): Promise<void> {
  const { namespace } = pod.metadata ?? {};
  const name = claimNameOf(pod, volume) ?? "";
  const known = informer("PersistentVolumeClaim").lister.get(name, namespace);
  if (known !== undefined) {
    const foreign = notOfPod(known, pod);
    if (foreign !== undefined) throw new Error(foreign);
    return;
  }
  const { metadata = {}, spec } = volume.ephemeral?.volumeClaimTemplate ?? {};
  const { labels, annotations } = metadata;
  const ownerReferences = [controllerReference(pod, "v1", "Pod")];
  const claim: PersistentVolumeClaim = {
    metadata: { name, namespace, labels, annotations, ownerReferences },
    spec,
  };
  try {
    await client.persistentVolumeClaims.create(claim, write);
  } catch (error) {
    throw new Error(`create PVC ${name}: ${(error as Error).message}`, { cause: error });
  }
}
