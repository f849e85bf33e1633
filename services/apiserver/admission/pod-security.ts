import type { Namespace, Pod, PodTemplateSpec } from "../../../proto/gen/core.ts";
import { equalJson } from "../../kinds/mod.ts";
import { forbidden, invalid } from "../errors.ts";
import type { AdmissionPlugin, AdmissionRequest } from "./chain.ts";
import {
  describe,
  levelText,
  policyOf,
  policyOfCached,
  rankOf,
  violationsOf,
} from "./pod-security/policy.ts";

export interface PodSecurityLookup {
  /** From the watch cache or, failing that, the store. */
  labelsOf(namespace: string): Promise<Readonly<Record<string, string>> | undefined>;
  /** The pods of a namespace, as the watch cache has them. */
  podsOf(namespace: string): Iterable<Pod>;
}

/** Templates of pods: what will be refused later is told at once. */
const templates: Readonly<Record<string, readonly string[]>> = {
  podtemplates: ["template"],
  replicationcontrollers: ["spec", "template"],
  "replicasets.apps": ["spec", "template"],
  "deployments.apps": ["spec", "template"],
  "statefulsets.apps": ["spec", "template"],
  "daemonsets.apps": ["spec", "template"],
  "jobs.batch": ["spec", "template"],
  "cronjobs.batch": ["spec", "jobTemplate", "spec", "template"],
};

const ignoredSubresources: ReadonlySet<string> = new Set([
  ...["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"],
]);

/** Existing pods that are looked at when a namespace asks for more (upstream's number). */
const podsMax = 3_000;

/** Pods keep to the level of pod security that the labels of their namespace ask for (KEP-2579). */
export function podSecurity(lookup: PodSecurityLookup): AdmissionPlugin {
  return {
    name: "pod-security",
    resources: ["namespaces", "pods", ...Object.keys(templates)],
    operations: ["create", "update"],
    async validate(request) {
      const { resource, subresource, document, namespace } = request;
      if (!resource.namespaced) return checkNamespace(request, lookup);
      const isPod = resource.group === "" && resource.plural === "pods";
      if (isPod ? ignoredSubresources.has(subresource) : subresource !== "") return;
      const policy = policyOfCached(await lookup.labelsOf(namespace));
      const { metadata = {}, spec } = isPod ? (document as Pod) : templateOf(request);
      if (spec === undefined) return;
      if (isPod) {
        if (request.operation === "update" && !isSignificant(request)) return;
        const violations = violationsOf(policy.enforce, metadata, spec);
        if (violations.length > 0) {
          const level = JSON.stringify(levelText(policy.enforce));
          const why = `violates PodSecurity ${level}: ${describe(violations)}`;
          throw forbidden(resource, request.name, why);
        }
      }
      const told = violationsOf(policy.warn, metadata, spec);
      if (told.length > 0) {
        const level = JSON.stringify(levelText(policy.warn));
        warn(request, `would violate PodSecurity ${level}: ${describe(told)}`);
      }
      const audited = violationsOf(policy.audit, metadata, spec);
      if (audited.length === 0) return;
      const level = JSON.stringify(levelText(policy.audit));
      request.annotate?.(
        "pod-security.kubernetes.io/audit-violations",
        `would violate PodSecurity ${level}: ${describe(audited)}`,
      );
    },
  };
}

function warn({ warnings }: AdmissionRequest, text: string): void {
  if (!warnings.includes(text)) warnings.push(text);
}

function templateOf({ resource, document }: AdmissionRequest): PodTemplateSpec {
  const { group, plural } = resource;
  const path = templates[group === "" ? plural : `${plural}.${group}`] ?? [];
  let value: unknown = document;
  for (const name of path) value = (value as Record<string, unknown> | undefined)?.[name];
  return (value ?? {}) as PodTemplateSpec;
}

/** A pod that keeps its images and its profiles is not judged again. */
function isSignificant({ document, stored }: AdmissionRequest): boolean {
  return !equalJson(judged(document as Pod), judged(stored as Pod));
}

function judged({ metadata, spec = {} }: Pod): unknown {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = spec;
  const annotations = Object.entries(metadata?.annotations ?? {});
  return {
    images: [initContainers, containers, ephemeralContainers].map((list) =>
      list.map(({ name = "", image = "" }) => [name, image]),
    ),
    profiles: annotations
      .filter(([key]) => /\b(?:seccomp|apparmor)\.security\./.test(key))
      .sort(([one], [other]) => (one < other ? -1 : 1)),
  };
}

function checkNamespace(request: AdmissionRequest, lookup: PodSecurityLookup): void {
  const { resource, name, subresource, document, stored } = request;
  if (subresource !== "") return;
  const next = policyOf((document as Namespace).metadata?.labels);
  const before = stored && policyOf((stored as Namespace).metadata?.labels);
  if (next.causes.length > 0 && !equalJson(next.causes, before?.causes)) {
    throw invalid(resource, name, next.causes);
  }
  if (before === undefined || next.enforce.level === "privileged") return;
  const sameVersion = next.enforce.minor === before.enforce.minor;
  if (sameVersion && rankOf(next.enforce) <= rankOf(before.enforce)) return;
  const found = new Map<string, string[]>();
  let seen = 0;
  for (const { metadata = {}, spec = {} } of lookup.podsOf(name)) {
    seen += 1;
    if (seen > podsMax) break;
    const violations = violationsOf(next.enforce, metadata, spec);
    if (violations.length === 0) continue;
    const reasons = violations.map(({ reason }) => reason).join(", ");
    found.set(reasons, [...(found.get(reasons) ?? []), metadata.name ?? ""]);
  }
  if (found.size === 0) return;
  if (seen > podsMax) {
    warn(request, `new PodSecurity enforce level only checked against the first ${podsMax} pods`);
  }
  const level = JSON.stringify(levelText(next.enforce));
  const where = `existing pods in namespace ${JSON.stringify(name)}`;
  warn(request, `${where} violate the new PodSecurity enforce level ${level}`);
  const lines = [...found].map(([reasons, pods]) => [pods.sort(), reasons] as const);
  lines.sort(([[one = ""]], [[other = ""]]) => (one < other ? -1 : 1));
  for (const [[first, ...others], reasons] of lines) {
    const pods = others.length === 1 ? "pod" : "pods";
    const more = others.length === 0 ? "" : ` (and ${others.length} other ${pods})`;
    warn(request, `${first}${more}: ${reasons}`);
  }
}
