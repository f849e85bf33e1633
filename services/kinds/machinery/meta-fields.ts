/** What becomes of the fields of metadata, selectors and the requests that every service shares. */
import { behaves, type SupportTable, warned } from "./field-support.ts";

const object = "the apiserver keeps it with the object";
const server = "the apiserver sets it and overrides what a caller sends";

export const metaFields: SupportTable = {
  "trireme.meta.v1.ObjectMeta": {
    ...behaves("the apiserver finds and names objects by it", "name generateName namespace"),
    ...behaves(server, "uid generation creationTimestamp"),
    ...behaves(server, "deletionTimestamp deletionGracePeriodSeconds"),
    ...behaves("the apiserver refuses a write to another version", "resourceVersion"),
    ...behaves("selectors match it", "labels"),
    ...behaves("clients and controllers read it", "annotations"),
    ...behaves("the garbage collector follows it", "ownerReferences"),
    ...behaves("the apiserver holds a deletion until it is empty", "finalizers"),
    ...warned("selfLink", "deprecated, it is not stored"),
    ...behaves("the apiserver keeps in it who manages which fields", "managedFields"),
  },
  "trireme.meta.v1.ManagedFieldsEntry": behaves(
    "server-side apply reads it",
    "manager operation apiVersion time fieldsType fieldsV1 subresource",
  ),
  "trireme.meta.v1.OwnerReference": behaves(
    "validation and the garbage collector read it",
    "apiVersion kind name uid controller blockOwnerDeletion",
  ),
  "trireme.meta.v1.LabelSelector": behaves(
    "whatever selects by it reads it",
    "matchLabels matchExpressions",
  ),
  "trireme.meta.v1.LabelSelectorRequirement": behaves(
    "whatever selects by it reads it",
    "key operator values",
  ),
  "trireme.meta.v1.Condition": behaves(
    object,
    "type status observedGeneration lastTransitionTime reason message",
  ),
  "trireme.meta.v1.GetRequest": behaves("the verb get", "name namespace resourceVersion"),
  "trireme.meta.v1.ListRequest": behaves(
    "the verb list",
    "namespace labelSelector fieldSelector limit continue resourceVersion resourceVersionMatch",
  ),
  "trireme.meta.v1.WatchRequest": behaves(
    "the verb watch",
    "namespace labelSelector fieldSelector resourceVersion allowWatchBookmarks timeoutSeconds " +
      "sendInitialEvents",
  ),
  "trireme.meta.v1.DeleteRequest": behaves(
    "the verb delete",
    "name namespace gracePeriodSeconds preconditions propagationPolicy dryRun",
  ),
  "trireme.meta.v1.Preconditions": behaves("the verb delete", "uid resourceVersion"),
  "trireme.meta.v1.DeleteCollectionRequest": behaves(
    "the verb deletecollection",
    "selection gracePeriodSeconds propagationPolicy dryRun",
  ),
  "trireme.meta.v1.PatchRequest": behaves(
    "the verb patch",
    "name namespace patchType patch subresource options force",
  ),
  "trireme.meta.v1.WriteOptions": behaves(
    "the verbs create, update and patch",
    "dryRun fieldManager fieldValidation",
  ),
};
