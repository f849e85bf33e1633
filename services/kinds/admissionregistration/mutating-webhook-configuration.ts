import {
  type MutatingWebhook,
  MutatingWebhookConfiguration,
  MutatingWebhookConfigurationsService,
} from "../../../proto/gen/admissionregistration.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { allButMetadata } from "../machinery/generation.ts";
import type { Document } from "../machinery/resource.ts";
import { setWebhookDefaults, validateWebhooks } from "./webhooks.ts";

const webhooksOf = (document: Document): MutatingWebhook[] =>
  (document as MutatingWebhookConfiguration).webhooks ?? [];

export const mutatingWebhookConfiguration = defineKind({
  message: "trireme.admissionregistration.v1.MutatingWebhookConfiguration",
  codec: MutatingWebhookConfiguration,
  service: MutatingWebhookConfigurationsService,
  allowUnconditionalUpdate: false,
  categories: ["api-extensions"],

  setDefaults(document) {
    for (const webhook of webhooksOf(document)) {
      setWebhookDefaults(webhook);
      webhook.reinvocationPolicy ??= "Never";
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
