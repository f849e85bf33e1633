import type { Pod, Toleration } from "../../../proto/gen/core.ts";
import type { RuntimeClass } from "../../../proto/gen/node.ts";
import { type Document, sameAmounts } from "../../kinds/mod.ts";
import { forbidden } from "../errors.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./chain.ts";

/** A runtime class, as the watch cache has it or, failing that, the store. */
export type RuntimeClassLookup = (name: string) => Promise<RuntimeClass | undefined>;

type PodSpec = NonNullable<Pod["spec"]>;

/**
 * A pod names only runtime classes that exist, and gets their overhead, node selector and
 * tolerations (upstream's RuntimeClass).
 */
export function runtimeClass(lookup: RuntimeClassLookup): AdmissionPlugin {
  const classOf = async (request: AdmissionRequest): Promise<RuntimeClass | undefined> => {
    const { runtimeClassName } = specOf(request.document);
    if (runtimeClassName === undefined) return undefined;
    const found = await lookup(runtimeClassName);
    if (found !== undefined) return found;
    const quoted = JSON.stringify(runtimeClassName);
    const why = `pod rejected: RuntimeClass ${quoted} not found`;
    throw forbidden(request.resource, request.name, why);
  };
  return {
    name: "runtime-class",
    resources: ["pods"],
    operations: ["create"],
    async mutate(request) {
      const found = await classOf(request);
      const spec = specOf(request.document);
      if (found?.overhead !== undefined) {
        if (spec.overhead !== undefined) checkOverhead(request, spec, found);
        spec.overhead = { ...found.overhead.podFixed };
      }
      if (found?.scheduling !== undefined) setScheduling(request, spec, found.scheduling);
    },
    async validate(request) {
      const spec = specOf(request.document);
      const found = await classOf(request);
      if (found?.overhead !== undefined) return checkOverhead(request, spec, found);
      if (Object.keys(spec.overhead ?? {}).length === 0) return;
      const why =
        "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
      throw forbidden(request.resource, request.name, why);
    },
  };
}

function specOf(document: Document | undefined): PodSpec {
  return ((document ?? {}) as Pod).spec ?? {};
}

function checkOverhead(request: AdmissionRequest, spec: PodSpec, found: RuntimeClass): void {
  if (sameAmounts(found.overhead?.podFixed ?? {}, spec.overhead ?? {})) return;
  const why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
  throw forbidden(request.resource, request.name, why);
}

function setScheduling(
  { resource, name }: AdmissionRequest,
  spec: PodSpec,
  scheduling: NonNullable<RuntimeClass["scheduling"]>,
): void {
  for (const [key, value] of Object.entries(scheduling.nodeSelector ?? {})) {
    const own = spec.nodeSelector?.[key];
    if (own === undefined || own === value) continue;
    const why =
      `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; ` +
      `pod.spec.nodeSelector[${key}] = ${own}`;
    throw forbidden(resource, name, why);
  }
  const selector = { ...spec.nodeSelector, ...scheduling.nodeSelector };
  if (Object.keys(selector).length > 0) spec.nodeSelector = selector;
  const merged = merge([...(spec.tolerations ?? []), ...(scheduling.tolerations ?? [])]);
  if (merged.length > 0) spec.tolerations = merged;
}

/** Without those that another one covers; of equal ones the first stays. */
function merge(all: readonly Toleration[]): Toleration[] {
  const merged: Toleration[] = [];
  for (const [index, one] of all.entries()) {
    if (merged.some((each) => covers(each, one))) continue;
    if (all.slice(index + 1).some((each) => !same(each, one) && covers(each, one))) continue;
    merged.push(one);
  }
  return merged;
}

/** Whether whatever `narrow` tolerates, `wide` tolerates too (upstream `isSuperset`). */
function covers(wide: Toleration, narrow: Toleration): boolean {
  if (same(wide, narrow)) return true;
  if (wide.key !== narrow.key && (wide.key || wide.operator !== "Exists")) return false;
  if (wide.effect && wide.effect !== narrow.effect) return false;
  const [most, least] = [wide.tolerationSeconds, narrow.tolerationSeconds];
  if (wide.effect === "NoExecute" && most !== undefined) {
    if (least === undefined || least > most) return false;
  }
  if (wide.operator === "Exists") return true;
  return narrow.operator !== "Exists" && (wide.value ?? "") === (narrow.value ?? "");
}

function same(one: Toleration, other: Toleration): boolean {
  const text = ({ key, operator, value, effect, tolerationSeconds }: Toleration) =>
    JSON.stringify([key || "", operator || "Equal", value || "", effect || "", tolerationSeconds]);
  return text(one) === text(other);
}
