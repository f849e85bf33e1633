/** Names of signers, e.g. `kubernetes.io/kube-apiserver-client` (core `ValidateSignerName`). */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { invalid, required, tooLong } from "../machinery/causes.ts";
import { checkLabelName, checkSubdomain } from "../machinery/names.ts";

const domainLengthMax = 253;
const nameLengthMax = 571;

export function validateSignerName(name: string, field: string): FieldCause[] {
  if (name === "") return [required(field)];
  const segments = name.split("/");
  const [domain = "", path = ""] = segments;
  if (segments.length !== 2) {
    const detail =
      "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    return [invalid(field, name, detail)];
  }
  const causes = domain.length > domainLengthMax ? [tooLong(field, domainLengthMax)] : [];
  const labels = domain.split(".");
  causes.push(...firstFault(labels, domain, field, checkLabelName));
  if (labels.length < 2) {
    const detail = "should be a domain with at least two segments separated by dots";
    causes.push(invalid(field, domain, detail));
  }
  causes.push(...firstFault(path.split("."), path, field, checkSubdomain));
  if (name.length > nameLengthMax) causes.push(tooLong(field, nameLengthMax));
  return causes;
}

/** Of the first label that is wrong: the faults of the others would read the same. */
function firstFault(
  labels: readonly string[],
  whole: string,
  field: string,
  check: (label: string) => string[],
): FieldCause[] {
  for (const label of labels) {
    const problems = check(label);
    if (problems.length === 0) continue;
    return problems.map((problem) =>
      invalid(field, whole, `validating label ${JSON.stringify(label)}: ${problem}`),
    );
  }
  return [];
}
