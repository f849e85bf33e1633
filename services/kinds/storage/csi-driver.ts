import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  CSIDriver,
  type CSIDriverSpec,
  CSIDriversService,
  type TokenRequest,
} from "../../../proto/gen/storage.ts";
import { oneOf } from "../core/pod/field-checks.ts";
import { duplicate, invalid, notSupportedInOrder } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { unchanged } from "../machinery/field-rules.ts";
import { allButMetadata } from "../machinery/generation.ts";
import type { Document } from "../machinery/resource.ts";

const groupPolicies = ["File", "None", "ReadWriteOnceWithFSType"];
const lifecycleModes = ["Persistent", "Ephemeral"];
const expirationSecondsMin = 600;
const updateSecondsMin = 10;

const specOf = (document: Document): CSIDriverSpec => (document as CSIDriver).spec ?? {};

export const csiDriver = defineKind({
  message: "trireme.storage.v1.CSIDriver",
  codec: CSIDriver,
  service: CSIDriversService,
  allowUnconditionalUpdate: false,

  setDefaults(document) {
    const driver = document as CSIDriver;
    driver.spec ??= {};
    const { spec } = driver;
    spec.attachRequired ??= true;
    spec.podInfoOnMount ??= false;
    spec.storageCapacity ??= false;
    spec.fsGroupPolicy ??= "ReadWriteOnceWithFSType";
    if ((spec.volumeLifecycleModes ?? []).length === 0) spec.volumeLifecycleModes = ["Persistent"];
    spec.requiresRepublish ??= false;
    spec.seLinuxMount ??= false;
  },
  desiredState: allButMetadata,
  validate(document) {
    const spec = specOf(document);
    const { fsGroupPolicy, volumeLifecycleModes = [] } = spec;
    return [
      ...oneOf(fsGroupPolicy, groupPolicies, "spec.fsGroupPolicy"),
      ...validateTokens(spec.tokenRequests ?? []),
      ...volumeLifecycleModes
        .filter((mode) => !lifecycleModes.includes(mode))
        .map((mode) => notSupportedInOrder("spec.volumeLifecycleModes", mode, lifecycleModes)),
      ...validatePeriod(spec.nodeAllocatableUpdatePeriodSeconds),
    ];
  },
  validateUpdate(next, stored) {
    const [spec, before] = [specOf(next), specOf(stored)];
    return [
      // The path is upstream's, which spells the field so.
      ...unchanged("spec.attachedRequired", spec.attachRequired, before.attachRequired),
      ...unchanged(
        "spec.volumeLifecycleModes",
        spec.volumeLifecycleModes,
        before.volumeLifecycleModes,
      ),
    ];
  },
  columns: [
    nameColumn,
    {
      name: "AttachRequired",
      type: "boolean",
      value: (document) => `${specOf(document).attachRequired ?? true}`,
    },
    {
      name: "PodInfoOnMount",
      type: "boolean",
      value: (document) => `${specOf(document).podInfoOnMount ?? false}`,
    },
    {
      name: "StorageCapacity",
      type: "boolean",
      value: (document) => `${specOf(document).storageCapacity ?? false}`,
    },
    { name: "TokenRequests", value: (document) => audiences(specOf(document).tokenRequests) },
    {
      name: "RequiresRepublish",
      type: "boolean",
      value: (document) => `${specOf(document).requiresRepublish ?? false}`,
    },
    {
      name: "Modes",
      value: (document) => (specOf(document).volumeLifecycleModes ?? []).join(",") || "<none>",
    },
    ageColumn,
  ],
});

function audiences(requests: readonly TokenRequest[] | undefined): string {
  if (requests === undefined || requests.length === 0) return "<unset>";
  return requests.map(({ audience = "" }) => audience).join(",");
}

function validateTokens(requests: readonly TokenRequest[]): FieldCause[] {
  const seen = new Set<string>();
  return requests.flatMap(({ audience = "", expirationSeconds }, index) => {
    const at = `spec.tokenRequests[${index}]`;
    if (seen.has(audience)) return [duplicate(`${at}.audience`, audience)];
    seen.add(audience);
    if (expirationSeconds === undefined) return [];
    const field = `${at}.expirationSeconds`;
    if (expirationSeconds < expirationSecondsMin) {
      const detail = "may not specify a duration less than 10 minutes";
      return [invalid(field, expirationSeconds, detail)];
    }
    if (expirationSeconds <= 2 ** 32) return [];
    const detail = "may not specify a duration larger than 2^32 seconds";
    return [invalid(field, expirationSeconds, detail)];
  });
}

function validatePeriod(seconds: number | undefined): FieldCause[] {
  if (seconds === undefined || seconds >= updateSecondsMin) return [];
  const detail = `must be greater than or equal to ${updateSecondsMin} seconds`;
  return [invalid("spec.nodeAllocatableUpdatePeriodSeconds", seconds, detail)];
}
