/** What becomes of the fields of the group policy's kinds. */
import { behaves, type SupportTable } from "../machinery/field-support.ts";

const budget = "the disruption controller";
const status = "information that the controller writes and clients show";

export const policyFields: SupportTable = {
  "trireme.policy.v1.PodDisruptionBudget": {
    ...behaves("the apiserver: type, name and metadata of an object", "apiVersion kind metadata"),
    ...behaves(budget, "spec"),
    ...behaves(status, "status"),
  },
  "trireme.policy.v1.PodDisruptionBudgetSpec": behaves(
    budget,
    "minAvailable selector maxUnavailable unhealthyPodEvictionPolicy",
  ),
  "trireme.policy.v1.PodDisruptionBudgetStatus": behaves(
    status,
    "observedGeneration disruptedPods disruptionsAllowed currentHealthy desiredHealthy " +
      "expectedPods conditions",
  ),
};
