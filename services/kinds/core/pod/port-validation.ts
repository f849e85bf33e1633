/** Ports, by number or by name. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { invalid, required } from "../../machinery/causes.ts";
import { checkPort, checkPortName } from "../../machinery/names.ts";

export const protocols = ["TCP", "UDP", "SCTP"];

export function validatePort(port: number, path: string): FieldCause[] {
  return checkPort(port).map((problem) => invalid(path, port, problem));
}

/** A port by number or by name. */
export function validatePortReference(port: unknown, path: string): FieldCause[] {
  if (typeof port === "number") return validatePort(port, path);
  if (typeof port !== "string") return [required(path)];
  return checkPortName(port).map((problem) => invalid(path, port, problem));
}
