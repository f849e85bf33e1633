import assert from "node:assert/strict";
import { test } from "node:test";
import { countsGenerations } from "../../services/apiserver/verbs/documents.ts";
import { builtInRegistry } from "../../services/kinds/mod.ts";

/** Those whose strategies set it, upstream; what only computes answers has none. */
const counting = [
  ...["Pod", "PodTemplate", "ReplicationController"],
  ...["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet", "CronJob", "Job"],
  ...["CustomResourceDefinition", "EndpointSlice", "PodDisruptionBudget", "PriorityClass"],
  ...["Ingress", "IngressClass", "NetworkPolicy", "CSIDriver", "DeviceClass", "ResourceSlice"],
  ...["FlowSchema", "PriorityLevelConfiguration"],
  ...["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
  ...["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"],
];

test("the kinds that have a generation upstream have one, and no others", () => {
  const kinds = [...builtInRegistry()]
    .filter((resource) => resource.stored && countsGenerations(resource))
    .map(({ kind }) => kind);
  assert.deepEqual([...new Set(kinds)].sort(), counting.sort());
});
