/** How a definition's versions are converted. */
import { X509Certificate } from "node:crypto";
import type { FieldCause } from "../../../../ha/runtime/status-error.ts";
import type {
  CustomResourceConversion,
  ServiceReference,
  WebhookClientConfig,
} from "../../../../proto/gen/apiextensions.ts";
import { forbidden, invalid, required } from "../../machinery/causes.ts";
import { checkPort } from "../../machinery/names.ts";
import { unsupported } from "../../machinery/structural/unsupported.ts";
import { checkDnsLabel } from "./name-validation.ts";

const path = "spec.conversion";

export function validateConversion(conversion: CustomResourceConversion = {}): FieldCause[] {
  const { strategy = "", webhook } = conversion;
  if (strategy === "") return [required(`${path}.strategy`)];
  if (strategy !== "None" && strategy !== "Webhook") {
    return [unsupported(`${path}.strategy`, strategy, ["None", "Webhook"])];
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
  } else causes.push(...validateClientConfig(webhook.clientConfig, config));
  causes.push(...validateReviewVersions(webhook?.conversionReviewVersions ?? [], versions));
  return causes;
}

function validateClientConfig(config: WebhookClientConfig, at: string): FieldCause[] {
  const { url, service, caBundle } = config;
  const causes: FieldCause[] = [];
  if ((url === undefined) === (service === undefined)) {
    causes.push(required(at, "exactly one of url or service is required"));
  } else if (url !== undefined) causes.push(...validateUrl(url, `${at}.url`));
  else if (service !== undefined) causes.push(...validateService(service, `${at}.service`));
  if (caBundle) causes.push(...validateBundle(caBundle, `${at}.caBundle`));
  return causes;
}

function validateUrl(text: string, at: string): FieldCause[] {
  const form = "; desired format: https://host[/path]";
  if (!URL.canParse(text)) return [required(at, `url must be a valid URL${form}`)];
  const url = new URL(text);
  const causes: FieldCause[] = [];
  if (url.protocol !== "https:") {
    const scheme = url.protocol.slice(0, -1);
    const detail = `'https' is the only allowed URL scheme${form}`;
    causes.push(invalid(at, scheme, detail));
  }
  if (url.hostname === "") causes.push(invalid(at, "", `host must be specified${form}`));
  if (url.username !== "" || url.password !== "") {
    const detail = "user information is not permitted in the URL";
    causes.push(invalid(at, url.username, detail));
  }
  if (url.hash !== "") {
    causes.push(invalid(at, url.hash.slice(1), "fragments are not permitted in the URL"));
  }
  if (url.search !== "") {
    const detail = "query parameters are not permitted in the URL";
    causes.push(invalid(at, url.search.slice(1), detail));
  }
  return causes;
}

function validateService(service: ServiceReference, at: string): FieldCause[] {
  const { name = "", namespace = "", path: urlPath, port = 443 } = service;
  const causes: FieldCause[] = [];
  if (name === "") causes.push(required(`${at}.name`, "service name is required"));
  if (namespace === "") causes.push(required(`${at}.namespace`, "service namespace is required"));
  for (const problem of checkPort(port)) {
    causes.push(invalid(`${at}.port`, port, `port is not valid: ${problem}`));
  }
  if (urlPath !== undefined && urlPath !== "" && !urlPath.startsWith("/")) {
    causes.push(invalid(`${at}.path`, urlPath, "must start with a '/'"));
  }
  return causes;
}

function validateBundle(base64: string, at: string): FieldCause[] {
  try {
    new X509Certificate(Buffer.from(base64, "base64"));
    return [];
  } catch {
    const detail = "unable to load root certificates: unable to parse bytes as PEM block";
    return [invalid(at, base64, detail)];
  }
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
  if (!versions.includes("v1")) {
    causes.push(invalid(at, versions, "must include at least one of v1"));
  }
  return causes;
}
