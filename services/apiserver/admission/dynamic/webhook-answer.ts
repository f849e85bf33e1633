/** What a webhook answers, and the errors that come of it, in upstream's words. */
import { codeOfReason } from "../../../../ha/rpc/error-table.ts";
import { Code, type FieldCause, StatusError } from "../../../../ha/runtime/status-error.ts";
import { isObject, type JsonObject } from "../../../kinds/machinery/json.ts";

export interface WebhookAnswer {
  readonly allowed: boolean;
  readonly result: JsonObject;
  readonly patch: unknown;
  readonly warnings: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
}

/** The webhook could not be asked, or answered nonsense: its failure policy decides. */
export class WebhookFailure extends Error {}

const versions = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"];

/** The version in which a webhook is asked: the first that it takes and that is known. */
export function reviewVersion(taken: readonly string[] | undefined): string {
  const found = (taken ?? []).find((version) => versions.includes(`admission.k8s.io/${version}`));
  return `admission.k8s.io/${found ?? "v1"}`;
}

/** Throws WebhookFailure. */
export function readAnswer(
  answer: unknown,
  asked: { readonly apiVersion: string; readonly uid: string; readonly mutating: boolean },
): WebhookAnswer {
  const fail = (why: string) => new WebhookFailure(`received invalid webhook response: ${why}`);
  if (!isObject(answer)) throw fail("the answer is no object");
  const { response, apiVersion = "", kind = "" } = answer;
  if (!isObject(response)) throw fail("webhook response was absent");
  // The older version never said what it is.
  const strict = asked.apiVersion === versions[0];
  if (strict && response["uid"] !== asked.uid) {
    const [wanted, given] = [asked.uid, response["uid"] ?? ""].map((each) => JSON.stringify(each));
    throw fail(`expected response.uid=${wanted}, got ${given}`);
  }
  if (strict && (apiVersion !== asked.apiVersion || kind !== "AdmissionReview")) {
    throw fail(
      `expected webhook response of ${asked.apiVersion}, Kind=AdmissionReview, got ` +
        `${String(apiVersion)}, Kind=${String(kind)}`,
    );
  }
  const { allowed, status, warnings, auditAnnotations } = response;
  return {
    allowed: allowed === true,
    result: isObject(status) ? status : {},
    patch: patchIn(response, asked.mutating, strict, fail),
    warnings: Array.isArray(warnings) ? warnings.filter((each) => typeof each === "string") : [],
    annotations: textsOf(auditAnnotations),
  };
}

function textsOf(value: unknown): Record<string, string> {
  if (!isObject(value)) return {};
  const texts = Object.entries(value).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return Object.fromEntries(texts);
}

function patchIn(
  { patch, patchType }: JsonObject,
  mutating: boolean,
  strict: boolean,
  fail: (why: string) => WebhookFailure,
): unknown {
  const present = typeof patch === "string" && patch !== "";
  const typed = patchType !== undefined && patchType !== null;
  if (!mutating) {
    if (present && strict) throw fail("validating webhook may not return response.patch");
    if (typed && strict) throw fail("validating webhook may not return response.patchType");
    return undefined;
  }
  if (!present) {
    if (typed && strict) throw fail("webhook returned response.patchType but not response.patch");
    return undefined;
  }
  if (!typed && strict) {
    throw fail("webhook returned response.patch but not response.patchType");
  }
  if (typed && patchType !== "JSONPatch") {
    throw new WebhookFailure(`unsupported patch type ${JSON.stringify(patchType)}`);
  }
  try {
    return JSON.parse(Buffer.from(patch, "base64").toString("utf8"));
  } catch {
    throw new WebhookFailure("received undecodable patch in webhook response: it is no JSON");
  }
}

/** The refusal, with the code and the reason that the webhook gave it. */
export function denial(webhook: string, result: JsonObject): StatusError {
  const text = (name: string) => (typeof result[name] === "string" ? result[name] : "");
  const [message, reason] = [text("message"), text("reason")];
  const by = `admission webhook ${JSON.stringify(webhook)} denied the request`;
  const why = message || reason;
  const given = Number(result["code"]);
  // Never less than an error, whatever the webhook says.
  const httpCode = Number.isInteger(given) && given >= 400 && given <= 599 ? given : 400;
  const details = isObject(result["details"]) ? result["details"] : {};
  const known = (name: string) => {
    const value = details[name];
    return typeof value === "string" && value !== "" ? { [name]: value } : {};
  };
  const causes = causesIn(details["causes"]);
  return new StatusError(
    codeFor(reason, httpCode),
    why === "" ? `${by} without explanation` : `${by}: ${why}`,
    {
      ...{ reason, httpCode },
      ...known("name"),
      ...known("group"),
      ...known("kind"),
      ...(causes.length > 0 && { causes }),
    },
  );
}

function causesIn(value: unknown): FieldCause[] {
  if (!Array.isArray(value)) return [];
  return value.filter(isObject).map(({ reason, message, field }) => ({
    reason: textOf(reason),
    message: textOf(message),
    field: textOf(field),
  }));
}

function codeFor(reason: string, httpCode: number): Code {
  const code = codeOfReason(reason) ?? byHttp[httpCode];
  // Unavailable would have clients and balancers repeat the request elsewhere.
  if (code !== undefined && code !== Code.unavailable) return code;
  return httpCode < 500 ? Code.invalidArgument : Code.internal;
}

const byHttp: Readonly<Record<number, Code>> = {
  401: Code.unauthenticated,
  403: Code.permissionDenied,
  404: Code.notFound,
  409: Code.aborted,
  429: Code.resourceExhausted,
};

export function internalError(message: string): StatusError {
  return new StatusError(Code.internal, `Internal error occurred: ${message}`, {
    reason: "InternalError",
    causes: [{ reason: "", message, field: "" }],
  });
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
