/** The workload that an autoscaler scales, of any kind that has a number of replicas. */
import type { CrossVersionObjectReference } from "../../../proto/gen/autoscaling_v2.ts";
import type { LabelSelector } from "../../../proto/gen/meta.ts";
import type { JsonObject, ServedKind } from "../../client/mod.ts";
import { apiVersionOf } from "../../client/mod.ts";
import { matchesLabels, parseLabelSelector, selectorOf } from "../../kinds/mod.ts";
import type { ControllerContext } from "../types.ts";

/** Where an object has its numbers, e.g. `.spec.replicas`. */
interface ScalePaths {
  readonly replicas: readonly string[];
  readonly observed: readonly string[];
  readonly selector: readonly string[];
}

const builtIn: ScalePaths = {
  replicas: ["spec", "replicas"],
  observed: ["status", "replicas"],
  selector: ["spec", "selector"],
};
const builtInKinds = new Set([
  ...["apps/Deployment", "apps/ReplicaSet", "apps/StatefulSet", "/ReplicationController"],
]);

export interface ScaleTarget {
  /** Wanted by its spec. */
  readonly replicas: number;
  readonly observed: number;
  /** Undefined: it selects no pods. */
  readonly selects: ((labels: Readonly<Record<string, string>> | undefined) => boolean) | undefined;
  setReplicas(replicas: number): Promise<void>;
}

/** Rejects, in words for the condition, when there is no such workload. */
export async function scaleTarget(
  context: ControllerContext,
  reference: CrossVersionObjectReference,
  namespace: string | undefined,
): Promise<ScaleTarget> {
  const { client, signal, write } = context;
  const { kind = "", name = "", apiVersion = "v1" } = reference;
  const group = apiVersion.includes("/") ? (apiVersion.split("/")[0] ?? "") : "";
  const served = (await client.dynamic.discover(group, { signal })).find(
    (each) => each.kind === kind && apiVersionOf(each) === apiVersion,
  );
  if (served === undefined) {
    throw new Error(
      `no matches for kind ${JSON.stringify(kind)} in group ${JSON.stringify(group)}`,
    );
  }
  const paths = await pathsOf(context, served);
  if (paths === undefined) throw new Error("the server could not find the requested resource");
  const ref = { apiVersion, kind, resource: served.plural };
  const object = await client.dynamic.get(ref, name, namespace, { signal });
  return {
    replicas: numberAt(
      object,
      paths.replicas,
      group === "" || builtInKinds.has(keyOf(served)) ? 1 : 0,
    ),
    observed: numberAt(object, paths.observed, 0),
    selects: selectorAt(object, paths.selector),
    async setReplicas(replicas) {
      const patch = paths.replicas.reduceRight<unknown>(
        (inner, field) => ({ [field]: inner }),
        replicas,
      );
      const metadata = { resourceVersion: object.metadata?.resourceVersion };
      const body = { ...(patch as object), metadata };
      await client.dynamic.patch(ref, name, namespace, "merge", body, write);
    },
  };
}

function keyOf({ group = "", kind }: ServedKind): string {
  return `${group}/${kind}`;
}

async function pathsOf(
  { client, signal }: ControllerContext,
  served: ServedKind,
): Promise<ScalePaths | undefined> {
  if (builtInKinds.has(keyOf(served))) return builtIn;
  if (!served.group?.includes(".")) return undefined;
  const name = `${served.plural}.${served.group}`;
  const definition = await client.customResourceDefinitions.get(name, undefined, { signal });
  const version = definition.spec?.versions?.find((each) => each.name === served.version);
  const { scale } = version?.subresources ?? {};
  if (scale === undefined) return undefined;
  const path = (text: string | undefined) => (text ?? "").split(".").filter((part) => part !== "");
  return {
    replicas: path(scale.specReplicasPath),
    observed: path(scale.statusReplicasPath),
    selector: path(scale.labelSelectorPath),
  };
}

function valueAt(object: JsonObject, path: readonly string[]): unknown {
  if (path.length === 0) return undefined;
  return path.reduce<unknown>(
    (value, field) => (value as Record<string, unknown> | undefined)?.[field],
    object,
  );
}

function numberAt(object: JsonObject, path: readonly string[], absent: number): number {
  const value = valueAt(object, path);
  return typeof value === "number" ? value : absent;
}

function selectorAt(object: JsonObject, path: readonly string[]): ScaleTarget["selects"] {
  const value = valueAt(object, path);
  if (typeof value === "string" && value !== "") {
    const selector = parseLabelSelector(value);
    return (labels) => matchesLabels(selector, labels);
  }
  if (typeof value !== "object" || value === null || Object.keys(value).length === 0) {
    return undefined;
  }
  // Either a selector of labels or, in the oldest kind, the labels themselves.
  const modern = "matchLabels" in value || "matchExpressions" in value;
  const given = modern ? value : { matchLabels: value as Record<string, string> };
  const selector = selectorOf(given as LabelSelector);
  return (labels) => matchesLabels(selector, labels);
}
