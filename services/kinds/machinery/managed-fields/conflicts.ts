/** Fields that an application would take from others, in upstream's words. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import { type FieldSet, pathsOf } from "./field-set.ts";
import type { Manager } from "./managers.ts";
import { pathText } from "./path-element.ts";

export interface Conflict {
  readonly manager: Manager;
  readonly fields: FieldSet;
}

/** By the managers' names. */
export function conflictsOf(conflicts: readonly Conflict[]): Conflict[] {
  const name = ({ manager }: Conflict) => managerText(manager);
  return [...conflicts].sort((one, other) => (name(one) < name(other) ? -1 : 1));
}

function managerText(manager: Manager): string {
  const { name, operation, apiVersion, subresource } = manager;
  const on = subresource === "" ? "" : ` with subresource ${JSON.stringify(subresource)}`;
  const who = `${JSON.stringify(name)}${on}`;
  return operation === "Apply" ? who : `${who} using ${apiVersion}`;
}

/** One cause per field. */
export function conflictCauses(conflicts: readonly Conflict[]): FieldCause[] {
  return conflicts.flatMap(({ manager, fields }) =>
    pathsOf(fields).map((path) => ({
      reason: "FieldManagerConflict",
      message: `conflict with ${managerText(manager)}`,
      field: pathText(path),
    })),
  );
}

export function conflictMessage(conflicts: readonly Conflict[]): string {
  const all = conflicts.map(({ manager, fields }) => ({
    who: managerText(manager),
    paths: pathsOf(fields).map(pathText),
  }));
  const count = all.reduce((sum, { paths }) => sum + paths.length, 0);
  const [first] = all;
  if (count === 1 && first !== undefined) {
    return `Apply failed with 1 conflict: conflict with ${first.who}: ${first.paths[0]}`;
  }
  const lines = all.flatMap(({ who, paths }) => [
    `conflicts with ${who}:`,
    ...paths.map((path) => `- ${path}`),
  ]);
  return `Apply failed with ${count} conflicts: ${lines.join("\n")}`;
}
