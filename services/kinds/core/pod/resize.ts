/**
 * Changing the CPU and memory of a pod's containers, by a subresource of its own (upstream
 * `ValidatePodResize`, KEP-1287).
 */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { Container, Pod, PodSpec, ResourceRequirements } from "../../../../proto/gen/core.ts";
import { forbidden, invalid } from "../../machinery/causes.ts";
import { equalJson } from "../../machinery/json.ts";
import type { Document } from "../../machinery/resource.ts";
import { qosClassOf } from "./qos.ts";

const lists = ["containers", "initContainers"] as const;
const amounts = ["requests", "limits"] as const;
/** The resources of a container that can change while it runs. */
const resizable = ["cpu", "memory"];

/** The subresource: of what is sent, nothing but resources and resize policies counts. */
export const resizePart = {
  name: "resize",
  take(next: Document, incoming: Document): void {
    const [spec, wanted] = [(next as Pod).spec ?? {}, (incoming as Pod).spec ?? {}];
    const same = lists.every((list) => sameContainers(spec[list], wanted[list]));
    for (const list of lists) {
      if (same) {
        for (const [index, container] of (spec[list] ?? []).entries()) {
          resize(container, wanted[list]?.[index]);
        }
        continue;
      }
      // Containers that are missing, new or moved are left for validation to refuse.
      if (wanted[list] === undefined) delete spec[list];
      else spec[list] = wanted[list];
    }
  },
  validate: (next: Document, stored: Document): FieldCause[] =>
    validateResize(next as Pod, stored as Pod),
};

function sameContainers(
  one: readonly Container[] | undefined,
  other: readonly Container[] | undefined,
): boolean {
  return equalJson(
    (one ?? []).map(({ name }) => name),
    (other ?? []).map(({ name }) => name),
  );
}

function resize(container: Container, wanted: Container | undefined): void {
  container.resources = wanted?.resources ?? {};
  if (wanted?.resizePolicy === undefined) delete container.resizePolicy;
  else container.resizePolicy = wanted.resizePolicy;
}

function validateResize(next: Pod, stored: Pod): FieldCause[] {
  if (hasPodResources(next) || hasPodResources(stored)) {
    return [forbidden("", "pods with pod-level resources cannot be resized")];
  }
  if (stored.metadata?.annotations?.["kubernetes.io/config.mirror"] !== undefined) {
    return [forbidden("", "static pods cannot be resized")];
  }
  const [spec, before] = [next.spec ?? {}, stored.spec ?? {}];
  const causes: FieldCause[] = [];
  const qosClass = stored.status?.qosClass ?? qosClassOf(stored);
  if (qosClassOf(next) !== qosClass) {
    const detail = "Pod QOS Class may not change as a result of resizing";
    causes.push(invalid("spec", qosClass, detail));
  }
  if (!isSupported(stored)) {
    causes.push(forbidden("spec", "Pod running on node without support for resize"));
  }
  const order = lists.flatMap((list) => validateOrder(spec[list], before[list], list));
  if (order.length > 0) return [...causes, ...order];
  return [...causes, ...validateRemovals(spec, before), ...validateChanges(spec, before)];
}

function hasPodResources({ spec }: Pod): boolean {
  return amounts.some((name) => Object.keys(spec?.resources?.[name] ?? {}).length > 0);
}

/** A kubelet that resizes containers tells the resources of those that run. */
function isSupported({ status }: Pod): boolean {
  const running = (status?.containerStatuses ?? []).find(({ state }) => state?.running);
  return running === undefined || running.resources !== undefined;
}

function validateOrder(
  next: readonly Container[] = [],
  stored: readonly Container[] = [],
  list: string,
): FieldCause[] {
  if (next.length !== stored.length) {
    return [forbidden(`spec.${list}`, `${list} may not be added or removed on resize`)];
  }
  return stored.flatMap(({ name }, index) =>
    next[index]?.name === name
      ? []
      : [
          forbidden(
            `spec.${list}[${index}].name`,
            `${list} may not be renamed or reordered on resize`,
          ),
        ],
  );
}

function isSidecar({ restartPolicy }: Container): boolean {
  return restartPolicy === "Always";
}

/** An amount may change; it may not go. */
function validateRemovals(next: PodSpec, stored: PodSpec): FieldCause[] {
  return lists.toReversed().flatMap((list) =>
    (stored[list] ?? []).flatMap((container, index) => {
      if (list === "initContainers" && !isSidecar(container)) return [];
      const wanted = next[list]?.[index]?.resources;
      return amounts
        .filter((name) => isRemoved(wanted?.[name], container.resources?.[name]))
        .map((name) => {
          const path = `spec.${list}[${index}].resources.${name}`;
          return forbidden(path, `resource ${name} cannot be removed`);
        });
    }),
  );
}

type Amounts = Readonly<Record<string, string>> | undefined;

function isRemoved(next: Amounts = {}, stored: Amounts = {}): boolean {
  return Object.keys(stored).some((name) => !Object.hasOwn(next, name));
}

function validateChanges(next: PodSpec, stored: PodSpec): FieldCause[] {
  const causes: FieldCause[] = [];
  next.containers?.forEach((container, index) => {
    const before = stored.containers?.[index];
    if (before === undefined || onlyResized(container, before)) return;
    causes.push(forbidden("spec", "only cpu and memory resources are mutable"));
  });
  next.initContainers?.forEach((container, index) => {
    const before = stored.initContainers?.[index];
    if (before === undefined) return;
    if (!isSidecar(container)) {
      if (equalJson(container, before)) return;
      const detail = "resources for non-sidecar init containers are immutable";
      causes.push(forbidden("spec", detail));
    } else if (!onlyResized(container, before)) {
      const detail = "only cpu and memory resources for sidecar containers are mutable";
      causes.push(forbidden("spec", detail));
    }
  });
  return causes;
}

/** Alike but for CPU and memory, which may not be given where there were no amounts at all. */
function onlyResized(next: Container, stored: Container): boolean {
  return equalJson(fixed(next, stored), fixed(stored, stored));
}

function fixed(container: Container, stored: Container): object {
  const { resources = {}, ...rest } = container;
  return {
    ...rest,
    resources: { claims: resources.claims, ...unresized(resources, stored.resources ?? {}) },
  };
}

function unresized(next: ResourceRequirements, stored: ResourceRequirements): object {
  const kept = (name: (typeof amounts)[number]) =>
    stored[name] === undefined
      ? {}
      : Object.fromEntries(
          Object.entries(next[name] ?? {}).filter(([resource]) => !resizable.includes(resource)),
        );
  return { requests: kept("requests"), limits: kept("limits") };
}
