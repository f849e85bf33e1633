/** What the two kinds of webhook configurations share. */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import type {
  MutatingWebhook,
  ServiceReference,
  ValidatingWebhook,
  WebhookClientConfig,
} from "../../../proto/gen/admissionregistration.ts";
import { oneOf } from "../core/pod/field-checks.ts";
import { duplicate, invalid, notSupported, required } from "../machinery/causes.ts";
import { wrong } from "../machinery/field-rules.ts";
import { validateLabelSelector } from "../machinery/label-selector.ts";
import { checkPort, checkServiceName, checkSubdomain } from "../machinery/names.ts";
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
    ...validateClient(clientConfig, `${at}.clientConfig`),
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

export function validateClient(client: WebhookClientConfig, at: string): FieldCause[] {
  const { url, service } = client;
  if ((url === undefined) === (service === undefined)) {
    return [required(at, "exactly one of url or service is required")];
  }
  if (url !== undefined) return validateUrl(url, `${at}.url`);
  return validateService(service ?? {}, `${at}.service`);
}

const form = "; desired format: https://host[/path]";

function validateUrl(text: string, field: string): FieldCause[] {
  if (!URL.canParse(text, "relative://host/")) {
    return [required(field, `url must be a valid URL: parse ${JSON.stringify(text)}${form}`)];
  }
  // What begins without a scheme has neither scheme nor host.
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const scheme = url?.protocol.slice(0, -1) ?? "";
  const causes: FieldCause[] = [];
  if (scheme !== "https") {
    causes.push(invalid(field, scheme, `'https' is the only allowed URL scheme${form}`));
  }
  if (!url?.host) causes.push(invalid(field, "", `host must be provided${form}`));
  const { username = "", password = "", hash = "", search = "" } = url ?? {};
  const user = password === "" ? username : `${username}:${password}`;
  if (user !== "") {
    causes.push(invalid(field, user, "user information is not permitted in the URL"));
  }
  if (hash !== "") {
    causes.push(invalid(field, hash.slice(1), "fragments are not permitted in the URL"));
  }
  if (search !== "") {
    const detail = "query parameters are not permitted in the URL";
    causes.push(invalid(field, search.slice(1), detail));
  }
  return causes;
}

function validateService(service: ServiceReference, at: string): FieldCause[] {
  const { name = "", namespace = "", path = "", port = 443 } = service;
  const causes: FieldCause[] = [];
  if (name === "") causes.push(required(`${at}.name`, "service name is required"));
  if (namespace === "") {
    causes.push(required(`${at}.namespace`, "service namespace is required"));
  }
  const problems = checkPort(port);
  if (problems.length > 0) {
    causes.push(invalid(`${at}.port`, port, `port is not valid: ${problems.join(", ")}`));
  }
  return [...causes, ...wrong(`${at}.path`, path, checkPath(path))];
}

function checkPath(path: string): string[] {
  if (path === "" || path === "/") return [];
  if (path === "//") return ["segment[0] may not be empty"];
  const problems = path.startsWith("/") ? [] : ["must start with a '/'"];
  const steps = path.slice(1).replace(/\/$/, "").split("/");
  steps.forEach((step, index) => {
    if (step === "") problems.push(`segment[${index}] may not be empty`);
    else {
      problems.push(...checkSubdomain(step).map((problem) => `segment[${index}]: ${problem}`));
    }
  });
  return problems;
}
