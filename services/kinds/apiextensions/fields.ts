/** What becomes of the fields of a CustomResourceDefinition. */
import { behaves, type SupportTable } from "../machinery/field-support.ts";

const message = (name: string) => `trireme.apiextensions.v1.${name}`;

export const apiextensionsFields: SupportTable = {
  [message("CustomResourceDefinition")]: behaves(
    "the custom resources of every master",
    "apiVersion kind metadata spec status",
  ),
  [message("CustomResourceDefinitionSpec")]: behaves(
    "the custom resources of every master",
    "group names scope versions conversion preserveUnknownFields",
  ),
  [message("CustomResourceDefinitionNames")]: behaves(
    "discovery, and the acceptance of names",
    "plural singular shortNames kind listKind categories",
  ),
  [message("CustomResourceDefinitionVersion")]: behaves(
    "the custom resources of every master",
    "name served storage deprecated deprecationWarning schema subresources " +
      "additionalPrinterColumns selectableFields",
  ),
  [message("CustomResourceValidation")]: behaves("validation", "openAPIV3Schema"),
  [message("CustomResourceSubresources")]: behaves("the verbs", "status scale"),
  [message("CustomResourceSubresourceStatus")]: {},
  [message("CustomResourceSubresourceScale")]: behaves(
    "the scale subresource",
    "specReplicasPath statusReplicasPath labelSelectorPath",
  ),
  [message("CustomResourceColumnDefinition")]: behaves(
    "the columns of lists",
    "name type format description priority jsonPath",
  ),
  [message("SelectableField")]: behaves("field selectors", "jsonPath"),
  [message("CustomResourceConversion")]: behaves(
    "the conversion between versions",
    "strategy webhook",
  ),
  [message("WebhookConversion")]: behaves(
    "the conversion between versions",
    "clientConfig conversionReviewVersions",
  ),
  [message("WebhookClientConfig")]: behaves(
    "the conversion between versions",
    "url service caBundle",
  ),
  [message("ServiceReference")]: behaves(
    "the conversion between versions",
    "namespace name path port",
  ),
  [message("CustomResourceDefinitionStatus")]: behaves(
    "the acceptance of names",
    "conditions acceptedNames storedVersions",
  ),
  [message("CustomResourceDefinitionCondition")]: behaves(
    "the custom resources of every master",
    "type status lastTransitionTime reason message observedGeneration",
  ),
};
