/** The workload that an autoscaler scales, of any kind that has a number of replicas. */
import type { CrossVersionObjectReference } from "../../../proto/gen/autoscaling_v2.ts";
import { apiVersionOf } from "../../client/mod.ts";
import { matchesLabels, parseLabelSelector } from "../../kinds/facts.ts";
import type { ControllerContext } from "../types.ts";

export interface ScaleTarget {
  /** Wanted by its spec. */
  readonly replicas: number;
  /** As its scale gives it. */
  readonly selector: string;
  /** Undefined: it selects no pods. */
  readonly selects: ((labels: Readonly<Record<string, string>> | undefined) => boolean) | undefined;
  setReplicas(replicas: number): Promise<void>;
}

/** Rejects, in words for the condition, when there is no such workload, or it has no scale. */
export async function scaleTarget(
  { client, signal, write }: ControllerContext,
  reference: CrossVersionObjectReference,
  namespace: string | undefined,
): Promise<ScaleTarget> {
  const { kind = "", name = "", apiVersion = "v1" } = reference;
  const group = apiVersion.includes("/") ? (apiVersion.split("/")[0] ?? "") : "";
  const served = (await client.dynamic.discover(group, { signal })).find(
    (each) => each.kind === kind && apiVersionOf(each) === apiVersion,
  );
  if (served === undefined) {
    const quoted = [kind, group].map((text) => JSON.stringify(text));
    throw new Error(`no matches for kind ${quoted[0]} in group ${quoted[1]}`);
  }
  const ref = { apiVersion, kind, resource: served.plural };
  const scale = await client.dynamic.getScale(ref, name, namespace, { signal });
  const { selector: text = "" } = scale.status ?? {};
  const selector = text === "" ? undefined : parseLabelSelector(text);
  return {
    replicas: scale.spec?.replicas ?? 0,
    selector: text,
    selects: selector && ((labels) => matchesLabels(selector, labels)),
    async setReplicas(replicas) {
      await client.dynamic.updateScale(ref, { ...scale, spec: { replicas } }, write);
    },
  };
}
