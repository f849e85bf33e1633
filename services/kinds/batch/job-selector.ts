/**
 * A job selects its pods by its own uid, unless its author insists on a selector of his own
 * (upstream `registry/batch/job/strategy.go`).
 */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type { Job } from "../../../proto/gen/batch.ts";
import { invalid, required } from "../machinery/causes.ts";
import { selectorOf, validateLabelSelector } from "../machinery/label-selector.ts";
import { matchesLabels } from "../machinery/selectors.ts";

const uidLabel = "batch.kubernetes.io/controller-uid";
const nameLabel = "batch.kubernetes.io/job-name";
/** Without prefix, as older clients know them. */
const uidLabels = ["controller-uid", uidLabel];
const nameLabels = ["job-name", nameLabel];

/** Labels the template with name and uid of the job, and selects by the uid. */
export function generateSelector(job: Job): void {
  const { name = "", uid = "" } = job.metadata ?? {};
  const { template, selector } = job.spec ?? {};
  if (template === undefined) return;
  const labels: Record<string, string> = { ...template.metadata?.labels };
  // A uid that only this apiserver knows is there from an earlier try under another name.
  const again = labels[uidLabel] === uid;
  for (const label of nameLabels) labels[label] = again ? name : (labels[label] ?? name);
  for (const label of uidLabels) labels[label] ??= uid;
  template.metadata = { ...template.metadata, labels };
  const matchLabels = { ...selector?.matchLabels };
  matchLabels[uidLabel] ??= uid;
  job.spec = { ...job.spec, selector: { ...selector, matchLabels } };
}

/** The author's own labels may contradict the generated ones. */
export function validateGeneratedSelector(job: Job): FieldCause[] {
  const { name = "", uid = "" } = job.metadata ?? {};
  const { manualSelector, selector, template } = job.spec ?? {};
  if (manualSelector === true || selector === undefined) return [];
  const labels = template?.metadata?.labels ?? {};
  const expected = Object.fromEntries([
    ...uidLabels.map((label) => [label, uid]),
    ...nameLabels.map((label) => [label, name]),
  ]) as Record<string, string>;
  const causes = uid === "" ? [required("metadata.uid")] : [];
  for (const label of [uidLabels[0], nameLabels[0], uidLabel, nameLabel]) {
    const [key, value] = [label ?? "", expected[label ?? ""] ?? ""];
    const path = `spec.template.metadata.labels[${key}]`;
    if (labels[key] === undefined) causes.push(required(path, `must be '${value}'`));
    else if (labels[key] !== value) causes.push(invalid(path, labels, `must be '${value}'`));
  }
  if (validateLabelSelector(selector, "spec.selector").length > 0) return causes;
  if (!matchesLabels(selectorOf(selector), expected)) {
    causes.push(invalid("spec.selector", selector, "`selector` not auto-generated"));
  }
  return causes;
}
