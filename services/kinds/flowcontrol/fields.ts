/** What becomes of the fields of flow schemas and priority levels. */
import { behaves, type SupportTable, warned } from "../machinery/field-support.ts";

const object = "the apiserver: type, name and metadata of an object";
const flow = "the apiserver's flow control";
const status = "information for clients";
const at = (name: string) => `trireme.flowcontrol.v1.${name}`;

export const flowControlFields: SupportTable = {
  [at("FlowSchema")]: {
    ...behaves(object, "apiVersion kind metadata"),
    ...behaves(flow, "spec"),
    ...behaves(status, "status"),
  },
  [at("FlowSchemaSpec")]: behaves(
    flow,
    "priorityLevelConfiguration matchingPrecedence distinguisherMethod rules",
  ),
  [at("PriorityLevelConfigurationReference")]: behaves(flow, "name"),
  [at("FlowDistinguisherMethod")]: behaves(flow, "type"),
  [at("PolicyRulesWithSubjects")]: {
    ...behaves(flow, "subjects resourceRules"),
    ...behaves(
      "checked; requests that are about no resource are never held back",
      "nonResourceRules",
    ),
  },
  [at("FlowSubject")]: behaves(flow, "kind user group serviceAccount"),
  [at("UserSubject")]: behaves(flow, "name"),
  [at("GroupSubject")]: behaves(flow, "name"),
  [at("ServiceAccountSubject")]: behaves(flow, "namespace name"),
  [at("ResourcePolicyRule")]: behaves(flow, "verbs apiGroups resources clusterScope namespaces"),
  [at("NonResourcePolicyRule")]: behaves("checked", "verbs nonResourceURLs"),
  [at("FlowSchemaStatus")]: behaves(status, "conditions"),
  [at("PriorityLevelConfiguration")]: {
    ...behaves(object, "apiVersion kind metadata"),
    ...behaves(flow, "spec"),
    ...behaves(status, "status"),
  },
  [at("PriorityLevelConfigurationSpec")]: behaves(flow, "type limited exempt"),
  [at("LimitedPriorityLevelConfiguration")]: {
    ...behaves(
      flow,
      "nominalConcurrencyShares limitResponse lendablePercent borrowingLimitPercent",
    ),
  },
  [at("LimitResponse")]: behaves(flow, "type queuing"),
  [at("QueuingConfiguration")]: behaves(flow, "queues handSize queueLengthLimit"),
  [at("ExemptPriorityLevelConfiguration")]: {
    ...warned(
      "nominalConcurrencyShares",
      "requests of an exempt level need no seats, so that it has none to lend",
      (value) => value === 0,
    ),
    ...warned(
      "lendablePercent",
      "requests of an exempt level need no seats, so that it has none to lend",
      (value) => value === 0,
    ),
  },
  [at("PriorityLevelConfigurationStatus")]: behaves(status, "conditions"),
};
