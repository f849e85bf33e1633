/** Writes which volumes the claims of a placed pod get, and waits until they have them. */
import type { PersistentVolumeClaim } from "../../proto/gen/core.ts";
import {
  type Informer,
  type InformerFactory,
  keyOf,
  type LoopClock,
  type TriremeClient,
} from "../client/mod.ts";
import { boundByController, isBoundClaim, selectedNode } from "../kinds/facts.ts";
import { type Plugin, type Refusal, refuse } from "./framework/mod.ts";
import { type BindingChoice, bindingChoices } from "./plugins/volume-binding.ts";

export interface VolumeBinderOptions {
  readonly client: Pick<TriremeClient, "persistentVolumes" | "persistentVolumeClaims">;
  readonly informers: InformerFactory;
  readonly clock: LoopClock;
}

/** Upstream's `bindTimeoutSeconds`. */
const bindMillisMax = 600_000;

/** The second half of {@link volumeBinding}: what must be written before the pod is bound. */
export function volumeBinder(options: VolumeBinderOptions): Plugin {
  const claims = options.informers.informer("PersistentVolumeClaim");
  return {
    name: "VolumeBinder",
    async preBind(cycle, { node, name }, signal) {
      if (!node) return refuse(`node ${JSON.stringify(name)} is gone`);
      const choices = bindingChoices(cycle, node);
      if (choices === undefined) return refuse("the volumes chosen for the pod have been taken");
      if (choices.length === 0) return undefined;
      for (const choice of choices) await write(options, choice, name);
      return bound(options, claims, choices, signal);
    },
  };
}

/** Each write holds only for the object as it was seen, so that no volume is given twice. */
async function write(
  { client }: VolumeBinderOptions,
  { claim, volume }: BindingChoice,
  nodeName: string,
): Promise<void> {
  if (volume === undefined) {
    if (claim.metadata?.annotations?.[selectedNode] === nodeName) return;
    const annotations = { ...claim.metadata?.annotations, [selectedNode]: nodeName };
    const metadata = { ...claim.metadata, annotations };
    await client.persistentVolumeClaims.update({ ...claim, metadata });
    return;
  }
  if (volume.spec?.claimRef?.uid) return;
  const { name, namespace, uid, resourceVersion } = claim.metadata ?? {};
  const claimRef = {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    ...{ name, namespace, uid, resourceVersion },
  };
  const annotations = {
    ...volume.metadata?.annotations,
    ...(!volume.spec?.claimRef && { [boundByController]: "yes" }),
  };
  await client.persistentVolumes.update({
    ...volume,
    metadata: { ...volume.metadata, annotations },
    spec: { ...volume.spec, claimRef },
  });
}

/** Resolves when every claim is bound; with a refusal when that takes too long or cannot be. */
function bound(
  { clock }: VolumeBinderOptions,
  claims: Informer<PersistentVolumeClaim>,
  choices: readonly BindingChoice[],
  signal: AbortSignal,
): Promise<Refusal | undefined> {
  const keys = choices.map(({ claim }) => keyOf(claim));
  return new Promise((resolve) => {
    const ends: (() => void)[] = [];
    const end = (refusal?: Refusal) => {
      for (const each of ends.splice(0)) each();
      resolve(refusal);
    };
    const look = () => {
      const found = choices.map(({ claim }) =>
        claims.lister.get(claim.metadata?.name ?? "", claim.metadata?.namespace),
      );
      if (found.every((claim) => claim !== undefined && isBoundClaim(claim))) end();
    };
    const seen = (claim: PersistentVolumeClaim) => {
      if (keys.includes(keyOf(claim))) look();
    };
    const gone = (claim: PersistentVolumeClaim) => {
      if (!keys.includes(keyOf(claim))) return;
      end(refuse(`persistentvolumeclaim ${JSON.stringify(claim.metadata?.name)} not found`));
    };
    const late = () => end(refuse("binding volumes: context deadline exceeded"));
    const aborted = () => end(refuse("binding volumes: context canceled"));
    ends.push(clock.after(bindMillisMax, late));
    signal.addEventListener("abort", aborted, { once: true });
    ends.push(() => signal.removeEventListener("abort", aborted));
    ends.push(claims.addHandlers({ updated: (_, claim) => seen(claim), deleted: gone }));
    if (signal.aborted) aborted();
    else look();
  });
}
