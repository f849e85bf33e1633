import { claimNamesOf } from "../../kinds/facts.ts";
import { type Plugin, refuseForGood, StateKey } from "../framework/mod.ts";
import { claimEvents, volumesOf } from "./pod-claims.ts";

const otherZone = refuseForGood("node(s) had no available volume zone");
const zoneLabels = [
  "topology.kubernetes.io/zone",
  "topology.kubernetes.io/region",
  "failure-domain.beta.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region",
];
/** Between the zones of a volume that is in several. */
const separator = "__";

interface ZoneRule {
  readonly label: string;
  readonly values: ReadonlySet<string>;
}

const rules = new StateKey<readonly ZoneRule[]>("VolumeZone");

/** Volumes with the label of a zone or region are used from there only. */
export const volumeZone: Plugin = {
  name: "VolumeZone",
  events: claimEvents,
  preFilter(cycle) {
    const { pod } = cycle.pod;
    if (claimNamesOf(pod).length === 0) return { skip: true };
    const found = volumesOf(pod, cycle.snapshot.volumes).flatMap(({ metadata }) =>
      zoneLabels.flatMap((label) => {
        const text = metadata?.labels?.[label];
        return text === undefined ? [] : { label, values: new Set(text.split(separator)) };
      }),
    );
    cycle.write(rules, found);
    return { skip: found.length === 0 };
  },
  filter(cycle, { node }) {
    const labels = node?.metadata?.labels ?? {};
    // A node that tells of no zone is in a cluster without zones.
    if (!zoneLabels.some((label) => labels[label] !== undefined)) return undefined;
    const holds = cycle.read(rules).every(({ label, values }) => {
      return values.has(labels[betaOf(label, labels)] ?? "");
    });
    return holds ? undefined : otherZone;
  },
};

/** The label by either of its names, whichever the node has. */
function betaOf(label: string, labels: Readonly<Record<string, string>>): string {
  if (labels[label] !== undefined) return label;
  const last = label.split("/").at(-1) ?? "";
  return (
    zoneLabels.find((each) => each.endsWith(`/${last}`) && labels[each] !== undefined) ?? label
  );
}
