/** What classes of volumes have in common: who acts on them, and what it is told. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { invalid, required, tooLong } from "../machinery/causes.ts";
import { wrong } from "../machinery/field-rules.ts";
import { checkQualifiedName } from "../machinery/names.ts";

const parametersMax = 512;
const parameterBytesMax = 256 * 1_024;

export function validateProvisioner(name: string, field: string): FieldCause[] {
  if (name === "") return [required(field)];
  return wrong(field, name.toLowerCase(), checkQualifiedName(name.toLowerCase()));
}

export function validateParameters(parameters: Readonly<Record<string, string>>): FieldCause[] {
  const entries = Object.entries(parameters);
  if (entries.length > parametersMax) return [tooLong("parameters", parametersMax)];
  const causes: FieldCause[] = [];
  let size = 0;
  for (const [key, value] of entries) {
    if (key === "") causes.push(invalid("parameters", key, "field can not be empty."));
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  return size > parameterBytesMax ? [...causes, tooLong("parameters", parameterBytesMax)] : causes;
}
