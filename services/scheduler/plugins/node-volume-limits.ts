import type { Pod } from "../../../proto/gen/core.ts";
import { claimNamesOf } from "../../kinds/facts.ts";
import { on, type Plugin, refuse, StateKey } from "../framework/mod.ts";
import type { VolumeLookup } from "../volume-lookup.ts";
import { claimEvents, volumesOf } from "./pod-claims.ts";

const tooMany = refuse("node(s) exceed max volume count");

/** Names of volumes as their drivers know them, by driver. */
type Handles = ReadonlyMap<string, ReadonlySet<string>>;

const wanted = new StateKey<Handles>("NodeVolumeLimits");

/** A node takes as many volumes of a driver as its CSINode says. */
export const nodeVolumeLimits: Plugin = {
  name: "NodeVolumeLimits",
  events: [...claimEvents, on("CSINode", ["added", "updated"]), on("Pod", ["deleted"])],
  preFilter(cycle) {
    const { pod } = cycle.pod;
    if (claimNamesOf(pod).length === 0) return { skip: true };
    const handles = handlesOf([pod], cycle.snapshot.volumes);
    cycle.write(wanted, handles);
    return { skip: handles.size === 0 };
  },
  filter(cycle, node) {
    const { volumes } = cycle.snapshot;
    const drivers = volumes.csiNode(node.name)?.spec?.drivers ?? [];
    if (drivers.length === 0) return undefined;
    const mine = cycle.read(wanted);
    const present = handlesOf(
      [...node.pods.values()].map(({ pod }) => pod),
      volumes,
    );
    for (const { name = "", allocatable } of drivers) {
      const more = mine.get(name);
      if (more === undefined || allocatable?.count === undefined) continue;
      const all = new Set([...(present.get(name) ?? []), ...more]);
      if (all.size > allocatable.count && all.size > (present.get(name)?.size ?? 0)) return tooMany;
    }
    return undefined;
  },
};

function handlesOf(pods: readonly Pod[], lookup: VolumeLookup): Handles {
  const handles = new Map<string, Set<string>>();
  for (const pod of pods) {
    for (const { spec } of volumesOf(pod, lookup)) {
      const { driver, volumeHandle } = spec?.csi ?? {};
      if (!driver || !volumeHandle) continue;
      const known = handles.get(driver) ?? new Set();
      handles.set(driver, known.add(volumeHandle));
    }
  }
  return handles;
}
