import { ReplicaSet, ReplicaSetsService } from "../../../proto/gen/apps.ts";
import { templateWarnings } from "../core/pod/warnings.ts";
import { validateReplicaStatus } from "../core/replica-status.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { equalJson } from "../machinery/json.ts";
import type { Document } from "../machinery/resource.ts";
import {
  replicaScale,
  setWorkloadDefaults,
  validateSelectorUpdate,
  validateWorkload,
  wideColumns,
} from "./workload.ts";

const specOf = (document: Document): NonNullable<ReplicaSet["spec"]> =>
  (document as ReplicaSet).spec ?? {};
const statusOf = (document: Document): NonNullable<ReplicaSet["status"]> =>
  (document as ReplicaSet).status ?? {};

/** Fields of the status that count some of the replicas. */
const parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
const counters = ["replicas", ...parts, "observedGeneration", "terminatingReplicas"];

export const replicaSet = defineKind({
  message: "trireme.apps.v1.ReplicaSet",
  codec: ReplicaSet,
  service: ReplicaSetsService,
  shortNames: ["rs"],
  categories: ["all"],

  setDefaults(document) {
    const replicaSet = document as ReplicaSet;
    replicaSet.spec ??= {};
    setWorkloadDefaults(replicaSet.spec);
    replicaSet.status ??= {};
    replicaSet.status.replicas ??= 0;
  },
  warnings: (document, stored) => templateWarnings(document, stored, specOf(document).template),
  validate: (document) => validateWorkload(specOf(document), "ReplicaSet"),
  validateUpdate(next, stored) {
    const causes = validateSelectorUpdate(specOf(next), specOf(stored));
    if (equalJson(statusOf(next), statusOf(stored))) return causes;
    return [...causes, ...validateReplicaStatus(statusOf(next), counters, parts)];
  },
  selectableFields: {
    "status.replicas": (document) => String(statusOf(document).replicas ?? 0),
  },
  columns: [
    nameColumn,
    {
      name: "Desired",
      description: "Replicas wanted.",
      type: "integer",
      value: (document) => specOf(document).replicas ?? 0,
    },
    {
      name: "Current",
      description: "Replicas that exist.",
      type: "integer",
      value: (document) => statusOf(document).replicas ?? 0,
    },
    {
      name: "Ready",
      description: "Replicas that are ready.",
      type: "integer",
      value: (document) => statusOf(document).readyReplicas ?? 0,
    },
    ageColumn,
    ...wideColumns(specOf),
  ],
  scale: replicaScale(specOf, statusOf),
});
