/** Fields of the pod and amounts of its containers, as variables and files name them. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  DownwardAPIVolumeFile,
  ObjectFieldSelector,
  ResourceFieldSelector,
} from "../../../../proto/gen/core.ts";
import { invalid, notSupported, required } from "../../machinery/causes.ts";
import { checkQualifiedName } from "../../machinery/names.ts";
import { canonicalQuantity } from "../../machinery/quantity.ts";

const objectFields = ["metadata.name", "metadata.namespace", "metadata.uid"];

/** Fields that an environment variable can hold. */
export const variableFields = [
  ...objectFields,
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];

/** Fields that a file of a volume can hold. */
const fileFields = [...objectFields, "metadata.labels", "metadata.annotations"];

/** Fields that exist, though no variable or file may hold some of them. */
const knownFields = new Set([
  ...variableFields,
  ...fileFields,
  "spec.restartPolicy",
  "spec.schedulerName",
  "status.phase",
]);

/** Upstream `validateObjectFieldSelector`; `path`: of the reference. */
export function validateFieldReference(
  reference: ObjectFieldSelector,
  supported: readonly string[],
  path: string,
): FieldCause[] {
  const { apiVersion = "", fieldPath = "" } = reference;
  const field = `${path}.fieldPath`;
  if (apiVersion === "") return [required(`${path}.apiVersion`)];
  if (fieldPath === "") return [required(field)];
  const wrong = (why: string) => [invalid(field, fieldPath, `error converting fieldPath: ${why}`)];
  if (apiVersion !== "v1") return wrong(`unsupported pod version: ${apiVersion}`);
  const subscript = /^([^[\]]*)\['(.*)'\]$/.exec(fieldPath);
  if (subscript !== null) {
    const [, list = "", key = ""] = subscript;
    if (list !== "metadata.annotations" && list !== "metadata.labels") {
      return wrong(`field label does not support subscript: ${fieldPath}`);
    }
    const name = list === "metadata.annotations" ? key.toLowerCase() : key;
    return checkQualifiedName(name).map((problem) => invalid(path, name, problem));
  }
  if (!knownFields.has(fieldPath)) return wrong(`field label not supported: ${fieldPath}`);
  return supported.includes(fieldPath) ? [] : [notSupported(field, fieldPath, supported)];
}

const resources = ["cpu", "memory", "ephemeral-storage"].flatMap((name) => [
  `limits.${name}`,
  `requests.${name}`,
]);
const hugePages = /^(limits|requests)\.hugepages-/;
const cpuDivisors = ["1m", "1"];
const byteDivisors = ["1", "1k", "1M", "1G", "1T", "1P", "1E"].concat([
  "1Ki",
  "1Mi",
  "1Gi",
  "1Ti",
  "1Pi",
  "1Ei",
]);

/** Upstream `validateContainerResourceFieldSelector`; files must name the container. */
export function validateResourceReference(
  reference: ResourceFieldSelector,
  path: string,
  inFile: boolean,
): FieldCause[] {
  const { containerName = "", resource = "", divisor = "0" } = reference;
  const causes: FieldCause[] = [];
  if (inFile && containerName === "") causes.push(required(`${path}.containerName`));
  else if (resource === "") causes.push(required(`${path}.resource`));
  else if (!resources.includes(resource) && !hugePages.test(resource)) {
    causes.push(notSupported(`${path}.resource`, resource, resources));
  }
  const amount = canonicalQuantity(divisor);
  if (amount === "0") return causes;
  const wrong = divisorProblem(resource, amount);
  return wrong === undefined ? causes : [...causes, invalid(`${path}.divisor`, resource, wrong)];
}

function divisorProblem(resource: string, divisor: string): string | undefined {
  if (resource === "limits.cpu" || resource === "requests.cpu") {
    if (cpuDivisors.includes(divisor)) return undefined;
    return "only divisor's values 1m and 1 are supported with the cpu resource";
  }
  const known = resources.includes(resource) || hugePages.test(resource);
  if (!known || byteDivisors.includes(divisor)) return undefined;
  const noun = hugePages.test(resource)
    ? "hugepages"
    : resource.endsWith(".memory")
      ? "memory"
      : "local ephemeral storage";
  return `only divisor's values ${byteDivisors.join(", ")} are supported with the ${noun} resource`;
}

/** What may become a file of a volume (upstream `validateDownwardAPIVolumeFile`, the sources). */
export function validateFileSource(file: DownwardAPIVolumeFile, path: string): FieldCause[] {
  const { fieldRef, resourceFieldRef } = file;
  if (fieldRef === undefined && resourceFieldRef === undefined) {
    return [required(path, "one of fieldRef and resourceFieldRef is required")];
  }
  if (fieldRef === undefined) {
    return validateResourceReference(resourceFieldRef ?? {}, `${path}.resourceFieldRef`, true);
  }
  const causes = validateFieldReference(fieldRef, fileFields, `${path}.fieldRef`);
  if (resourceFieldRef === undefined) return causes;
  const detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
  return [...causes, invalid(path, "resource", detail)];
}
