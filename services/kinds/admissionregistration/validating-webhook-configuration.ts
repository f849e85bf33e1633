import {
  type ValidatingWebhook,
  ValidatingWebhookConfiguration,
  ValidatingWebhookConfigurationsService,
} from "../../../proto/gen/admissionregistration.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { allButMetadata } from "../machinery/generation.ts";
import type { Document } from "../machinery/resource.ts";
import { setWebhookDefaults, validateWebhooks } from "./webhooks.ts";

const webhooksOf = (document: Document): ValidatingWebhook[] =>
  (document as ValidatingWebhookConfiguration).webhooks ?? [];

export const validatingWebhookConfiguration = defineKind({
  message: "trireme.admissionregistration.v1.ValidatingWebhookConfiguration",
  codec: ValidatingWebhookConfiguration,
  service: ValidatingWebhookConfigurationsService,
  allowUnconditionalUpdate: false,
  categories: ["api-extensions"],

  setDefaults(document) {
    for (const webhook of webhooksOf(document)) {
      setWebhookDefaults(webhook);
    }
  },
  desiredState: allButMetadata,
  validate: (document) => validateWebhooks(webhooksOf(document)),
  columns: [
    nameColumn,
    { name: "Webhooks", type: "integer", value: (document) => String(webhooksOf(document).length) },
    ageColumn,
  ],
});
