import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { CSINode, type CSINodeDriver, CSINodesService } from "../../../proto/gen/storage.ts";
import { duplicate, invalid, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { notNegative, unchanged, validateDriverName, wrong } from "../machinery/field-rules.ts";
import { checkQualifiedName } from "../machinery/names.ts";
import type { Document } from "../machinery/resource.ts";

const nodeIdLengthMax = 256;

const driversOf = (document: Document): CSINodeDriver[] =>
  (document as CSINode).spec?.drivers ?? [];

export const csiNode = defineKind({
  message: "trireme.storage.v1.CSINode",
  codec: CSINode,
  service: CSINodesService,
  allowUnconditionalUpdate: false,

  validate(document) {
    const names = new Set<string>();
    return driversOf(document).flatMap((driver, index) => {
      const at = `spec.drivers[${index}]`;
      const { name = "" } = driver;
      const causes = validateDriver(driver, at);
      if (names.has(name)) causes.push(duplicate(`${at}.name`, name));
      names.add(name);
      return [...causes, ...validateKeys(driver.topologyKeys ?? [], at)];
    });
  },
  validateUpdate: (next, stored) =>
    driversOf(stored).flatMap((before) => {
      const driver = driversOf(next).find(({ name }) => name === before.name);
      return driver === undefined ? [] : unchanged("spec.drivers", driver, before);
    }),
  columns: [
    nameColumn,
    { name: "Drivers", type: "integer", value: (document) => String(driversOf(document).length) },
    ageColumn,
  ],
});

function validateDriver(driver: CSINodeDriver, at: string): FieldCause[] {
  const { name = "", nodeID = "", allocatable } = driver;
  const causes = validateDriverName(name, `${at}.name`);
  if (nodeID === "") causes.push(required(`${at}.nodeID`));
  if (nodeID.length > nodeIdLengthMax) {
    const detail = `must be ${nodeIdLengthMax} characters or less`;
    causes.push(invalid(`${at}.nodeID`, nodeID, detail));
  }
  return [...causes, ...notNegative(allocatable?.count, `${at}.allocatable.count`)];
}

function validateKeys(keys: readonly string[], at: string): FieldCause[] {
  return keys.flatMap((key, index) => [
    ...(key === "" ? [required(at)] : []),
    ...(keys.indexOf(key) < index ? [duplicate(at, key)] : []),
    ...wrong(at, key, checkQualifiedName(key)),
  ]);
}
