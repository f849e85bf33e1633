/** How a definition's versions are converted. */
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type { CustomResourceConversion } from "../../../../proto/gen/apiextensions.ts";
import { forbidden, invalid, notSupportedInOrder, required } from "../../machinery/causes.ts";
import { validateWebhookClient } from "../../machinery/webhook-client.ts";
import { checkDnsLabel } from "./name-validation.ts";

const path = "spec.conversion";

export function validateConversion(conversion: CustomResourceConversion = {}): FieldCause[] {
  const { strategy = "", webhook } = conversion;
  if (strategy === "") return [required(`${path}.strategy`)];
  if (strategy !== "None" && strategy !== "Webhook") {
    return [notSupportedInOrder(`${path}.strategy`, strategy, ["None", "Webhook"])];
  }
  const config = `${path}.webhookClientConfig`;
  const versions = `${path}.conversionReviewVersions`;
  const causes: FieldCause[] = [];
  if (strategy === "None") {
    const detail = "should not be set when strategy is not set to Webhook";
    if (webhook?.clientConfig !== undefined) causes.push(forbidden(config, detail));
    if ((webhook?.conversionReviewVersions ?? []).length > 0) {
      causes.push(forbidden(versions, detail));
    }
    return causes;
  }
  if (webhook?.clientConfig === undefined) {
    causes.push(required(config, "required when strategy is set to Webhook"));
  } else causes.push(...validateWebhookClient(webhook.clientConfig, config));
  causes.push(...validateReviewVersions(webhook?.conversionReviewVersions ?? [], versions));
  return causes;
}

function validateReviewVersions(versions: readonly string[], at: string): FieldCause[] {
  if (versions.length === 0) return [required(at)];
  const causes: FieldCause[] = [];
  for (const [index, version] of versions.entries()) {
    if (versions.indexOf(version) < index) {
      causes.push(invalid(`${at}[${index}]`, version, "duplicate version"));
      continue;
    }
    for (const problem of checkDnsLabel(version)) {
      causes.push(invalid(`${at}[${index}]`, version, problem));
    }
  }
  if (!versions.includes("v1") && !versions.includes("v1beta1")) {
    causes.push(invalid(at, versions, "must include at least one of v1, v1beta1"));
  }
  return causes;
}
