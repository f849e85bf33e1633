/** Who manages the fields that a write sets. */
import type { ManagedFieldsEntry, WriteOptions } from "../../../proto/gen/meta.ts";
import { type Document, type Resource, rfc3339Seconds, trackUpdate } from "../../kinds/mod.ts";
import type { Backend } from "./backend.ts";
import type { Call } from "./call.ts";
import { fieldManagerLengthMax } from "./options.ts";

/** The caller's fieldManager, or else what its program calls itself. */
export function managerOf(
  call: Pick<Call, "userAgent">,
  options: WriteOptions | undefined,
): string {
  const { fieldManager } = options ?? {};
  return fieldManager ? fieldManager : nameOfAgent(call.userAgent ?? "");
}

/** The last agents and their names: a server's clients are few programs. */
const agents = new Map<string, string>();
const agentsMax = 200;

/** E.g. `kubectl` of `kubectl/v1.33.0 (linux/amd64)`. */
function nameOfAgent(userAgent: string): string {
  let name = agents.get(userAgent);
  if (name === undefined) {
    name = printableName(userAgent);
    if (agents.size >= agentsMax) agents.clear();
    agents.set(userAgent, name);
  }
  return name;
}

function printableName(userAgent: string): string {
  const [name = ""] = userAgent.split("/", 1);
  const printable = name.replace(/\p{C}/gu, "");
  let text = "";
  for (const character of printable) {
    if (Buffer.byteLength(text + character) > fieldManagerLengthMax) break;
    text += character;
  }
  return text;
}

/** An ordinary write: creation, update, or a patch that is no application. */
export interface TrackedWrite {
  readonly resource: Resource;
  /** Absent: the object is created. */
  readonly live?: Document;
  /** Defaulted. */
  readonly next: Document;
  /** The managedFields that were sent, where they may be. */
  readonly given: ManagedFieldsEntry[] | undefined;
  readonly manager: string;
  readonly subresource?: string;
}

export function trackedFields(backend: Backend, write: TrackedWrite): ManagedFieldsEntry[] {
  const { resource, live, next, given, manager, subresource = "" } = write;
  const time = rfc3339Seconds(backend.now());
  return trackUpdate({ resource, live, next, given }, { manager, subresource, time }) ?? [];
}
