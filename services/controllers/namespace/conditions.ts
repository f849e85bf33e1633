/**
 * What a terminating namespace says of its deletion, in upstream's words
 * (`pkg/controller/namespace/deletion/status_condition_utils.go`): five conditions, "True" where
 * something holds the namespace.
 */
import type { NamespaceCondition } from "../../../proto/gen/core.ts";
import { withCondition } from "../../kinds/facts.ts";

/** What one attempt to empty a namespace found. */
export interface Findings {
  /** Why it is not known which kinds there are. */
  readonly discoveryError?: string;
  /** Why the version of a kind cannot be read. */
  readonly versionError?: string;
  /** Why kinds could not be emptied. */
  readonly contentErrors: readonly string[];
  /** Objects left, by `plural.group`. */
  readonly remaining: ReadonlyMap<string, number>;
  /** Objects left that carry a finalizer, by finalizer. */
  readonly finalizers: ReadonlyMap<string, number>;
}

export function isEmptied(findings: Findings): boolean {
  const { discoveryError, versionError, contentErrors, remaining } = findings;
  const failed = discoveryError !== undefined || versionError !== undefined;
  return !failed && contentErrors.length === 0 && remaining.size === 0;
}

export function withFindings(
  conditions: readonly NamespaceCondition[] | undefined,
  findings: Findings,
  nowMillis: number,
): NamespaceCondition[] {
  let next: NamespaceCondition[] = [...(conditions ?? [])];
  for (const condition of conditionsOf(findings)) next = withCondition(next, condition, nowMillis);
  return next;
}

function conditionsOf(findings: Findings): NamespaceCondition[] {
  const { contentErrors, remaining, finalizers } = findings;
  const failures = [...contentErrors].sort();
  const left = list(remaining, (what, count) => `${what} has ${count} resource instances`);
  const held = list(finalizers, (what, count) => `${what} in ${count} resource instances`);
  return [
    condition(
      "NamespaceDeletionDiscoveryFailure",
      ["DiscoveryFailed", findings.discoveryError],
      ["ResourcesDiscovered", "All resources successfully discovered"],
    ),
    condition(
      "NamespaceDeletionGroupVersionParsingFailure",
      ["GroupVersionParsingFailed", findings.versionError],
      ["ParsedGroupVersions", "All legacy kube types successfully parsed"],
    ),
    condition(
      "NamespaceDeletionContentFailure",
      [
        "ContentDeletionFailed",
        failures.length > 0
          ? `Failed to delete all resource types, ${failures.length} remaining: ${failures.join(", ")}`
          : undefined,
      ],
      ["ContentDeleted", "All content successfully deleted, may be waiting on finalization"],
    ),
    condition(
      "NamespaceContentRemaining",
      ["SomeResourcesRemain", left && `Some resources are remaining: ${left}`],
      ["ContentRemoved", "All content successfully removed"],
    ),
    condition(
      "NamespaceFinalizersRemaining",
      [
        "SomeFinalizersRemain",
        held && `Some content in the namespace has finalizers remaining: ${held}`,
      ],
      ["ContentHasNoFinalizers", "All content-preserving finalizers finished"],
    ),
  ];
}

function condition(
  type: string,
  [badReason, badMessage]: readonly [string, string | undefined],
  [goodReason, goodMessage]: readonly [string, string],
): NamespaceCondition {
  if (badMessage === undefined) {
    return { type, status: "False", reason: goodReason, message: goodMessage };
  }
  return { type, status: "True", reason: badReason, message: badMessage };
}

/** Sorted, so that the same state is told in the same words. */
function list(
  counts: ReadonlyMap<string, number>,
  text: (what: string, count: number) => string,
): string | undefined {
  const parts = [...counts].map(([what, count]) => text(what, count)).sort();
  return parts.length === 0 ? undefined : parts.join(", ");
}
