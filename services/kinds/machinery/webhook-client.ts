/** Where a webhook is reached, for all kinds that name one (apiserver `util/webhook`). */
import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import { invalid, required } from "./causes.ts";
import { wrong } from "./field-rules.ts";
import { parseUrl } from "./go-url.ts";
import { checkPort, checkSubdomain } from "./names.ts";

interface WebhookService {
  readonly name?: string | undefined;
  readonly namespace?: string | undefined;
  readonly path?: string | undefined;
  readonly port?: number | undefined;
}

interface WebhookClient {
  readonly url?: string | undefined;
  readonly service?: WebhookService | undefined;
}

/** Either a URL or a service, and that one valid. */
export function validateWebhookClient({ url, service }: WebhookClient, at: string): FieldCause[] {
  if ((url === undefined) === (service === undefined)) {
    return [required(at, "exactly one of url or service is required")];
  }
  if (url !== undefined) return validateUrl(url, `${at}.url`);
  return validateService(service ?? {}, `${at}.service`);
}

const form = "; desired format: https://host[/path]";

function validateUrl(text: string, field: string): FieldCause[] {
  const url = parseUrl(text);
  if (typeof url === "string") return [required(field, `url must be a valid URL: ${url}${form}`)];
  const { scheme, host, user, fragment, query } = url;
  const causes: FieldCause[] = [];
  if (scheme !== "https") {
    causes.push(invalid(field, scheme, `'https' is the only allowed URL scheme${form}`));
  }
  if (host === "") causes.push(invalid(field, host, `host must be specified${form}`));
  if (user !== undefined) {
    causes.push(invalid(field, user, "user information is not permitted in the URL"));
  }
  if (fragment !== "") {
    causes.push(invalid(field, fragment, "fragments are not permitted in the URL"));
  }
  if (query !== "") {
    causes.push(invalid(field, query, "query parameters are not permitted in the URL"));
  }
  return causes;
}

function validateService(service: WebhookService, at: string): FieldCause[] {
  const { name = "", namespace = "", path = "", port = 443 } = service;
  const causes: FieldCause[] = [];
  // Upstream names the other of the two fields.
  if (namespace === "") causes.push(required(`${at}.name`));
  if (name === "") causes.push(required(`${at}.namespace`));
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
