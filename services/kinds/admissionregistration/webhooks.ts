/** What the two kinds of webhook configurations share. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type {
  MutatingWebhook,
  ValidatingWebhook,
} from "../../../proto/gen/admissionregistration.ts";
import { oneOf } from "../core/pod/field-checks.ts";
import { duplicate, invalid, notSupported, required } from "../machinery/causes.ts";
import { wrong } from "../machinery/field-rules.ts";
import { validateLabelSelector } from "../machinery/label-selector.ts";
import { checkServiceName, checkSubdomain } from "../machinery/names.ts";
import { validateWebhookClient } from "../machinery/webhook-client.ts";
import {
  failurePolicies,
  matchPolicies,
  setRuleDefaults,
  validateConditions,
  validateRule,
} from "./rules.ts";

type Webhook = ValidatingWebhook & Pick<MutatingWebhook, "reinvocationPolicy">;

const sideEffectClasses = ["None", "NoneOnDryRun"];
const reviewVersions = ["v1", "v1beta1"];
const timeoutSecondsMax = 30;

export function setWebhookDefaults(webhook: Webhook): void {
  webhook.failurePolicy ??= "Fail";
  webhook.matchPolicy ??= "Equivalent";
  webhook.namespaceSelector ??= {};
  webhook.objectSelector ??= {};
  webhook.timeoutSeconds ??= 10;
  setRuleDefaults(webhook.rules);
  const { service } = webhook.clientConfig ?? {};
  if (service !== undefined) service.port ??= 443;
}

export function validateWebhooks(webhooks: readonly Webhook[]): FieldCause[] {
  const names = new Set<string>();
  return webhooks.flatMap((webhook, index) => {
    const at = `webhooks[${index}]`;
    const { name = "", admissionReviewVersions = [] } = webhook;
    const causes = [
      ...validateWebhook(webhook, at),
      ...validateVersions(admissionReviewVersions, `${at}.admissionReviewVersions`),
    ];
    if (name !== "" && names.has(name)) causes.push(duplicate(`${at}.name`, name));
    names.add(name);
    return causes;
  });
}

function validateWebhook(webhook: Webhook, at: string): FieldCause[] {
  const { rules = [], timeoutSeconds = 1, sideEffects, clientConfig = {} } = webhook;
  const { namespaceSelector = {}, objectSelector = {}, matchConditions = [] } = webhook;
  const causes = [
    ...validateFullName(webhook.name ?? "", `${at}.name`),
    ...rules.flatMap((rule, index) => validateRule(rule, `${at}.rules[${index}]`)),
    ...oneOf(webhook.failurePolicy, failurePolicies, `${at}.failurePolicy`),
    ...oneOf(webhook.matchPolicy, matchPolicies, `${at}.matchPolicy`),
  ];
  if (sideEffects === undefined) {
    const detail = `must specify one of ${sideEffectClasses.join(", ")}`;
    causes.push(required(`${at}.sideEffects`, detail));
  } else if (!sideEffectClasses.includes(sideEffects)) {
    causes.push(notSupported(`${at}.sideEffects`, sideEffects, sideEffectClasses));
  }
  if (timeoutSeconds < 1 || timeoutSeconds > timeoutSecondsMax) {
    const detail = "the timeout value must be between 1 and 30 seconds";
    causes.push(invalid(`${at}.timeoutSeconds`, timeoutSeconds, detail));
  }
  return [
    ...causes,
    ...validateLabelSelector(namespaceSelector, `${at}.namespaceSelector`),
    ...validateLabelSelector(objectSelector, `${at}.objectSelector`),
    ...oneOf(webhook.reinvocationPolicy, ["IfNeeded", "Never"], `${at}.reinvocationPolicy`),
    ...validateWebhookClient(clientConfig, `${at}.clientConfig`),
    ...validateConditions(matchConditions, `${at}.matchConditions`),
  ];
}

/** A domain of at least three parts (apimachinery `IsFullyQualifiedName`). */
function validateFullName(name: string, field: string): FieldCause[] {
  if (name === "") return [required(field)];
  const problems = checkSubdomain(name);
  if (problems.length > 0) return [invalid(field, name, problems.join(","))];
  if (name.split(".").length >= 3) return [];
  const detail = "should be a domain with at least three segments separated by dots";
  return [invalid(field, name, detail)];
}

function validateVersions(versions: readonly string[], field: string): FieldCause[] {
  const list = reviewVersions.join(", ");
  if (versions.length === 0) return [required(field, `must specify one of ${list}`)];
  const causes = versions.flatMap((version, index) => {
    const at = `${field}[${index}]`;
    const repeated = versions.indexOf(version) < index;
    return repeated
      ? [invalid(at, version, "duplicate version")]
      : wrong(at, version, checkServiceName(version));
  });
  if (versions.some((version) => reviewVersions.includes(version))) return causes;
  return [...causes, invalid(field, versions, `must include at least one of ${list}`)];
}
