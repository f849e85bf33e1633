import type { FieldCause } from "../../../ha/runtime/status-error.ts";
import {
  CertificateSigningRequest,
  type CertificateSigningRequestCondition,
  type CertificateSigningRequestSpec,
  type CertificateSigningRequestStatus,
  CertificateSigningRequestsService,
} from "../../../proto/gen/certificates.ts";
import { oneOf } from "../core/pod/field-checks.ts";
import { duplicate, forbidden, invalid, required } from "../machinery/causes.ts";
import { ageColumn, defineKind, nameColumn } from "../machinery/define.ts";
import { wrong } from "../machinery/field-rules.ts";
import { equalJson } from "../machinery/json.ts";
import type { Document, WriteContext } from "../machinery/resource.ts";
import { formatDuration, rfc3339Seconds } from "../machinery/time.ts";
import { checkCertificates } from "./issued.ts";
import { checkCertificateRequest } from "./pkcs10.ts";
import { validateSignerName } from "./signer-name.ts";
import { usageNames } from "./usages.ts";

const expirationSecondsMin = 600;
const approval = "approval";
const decisions = ["Approved", "Denied"];
const finalTypes = [...decisions, "Failed"];
const specOf = (document: Document): CertificateSigningRequestSpec =>
  (document as CertificateSigningRequest).spec ?? {};
const statusOf = (document: Document): CertificateSigningRequestStatus =>
  (document as CertificateSigningRequest).status ?? {};

export const certificateSigningRequest = defineKind({
  message: "trireme.certificates.v1.CertificateSigningRequest",
  codec: CertificateSigningRequest,
  service: CertificateSigningRequestsService,
  countsGenerations: false,
  shortNames: ["csr"],
  nameRule: "path",
  statusSubresources: [approval],

  setDefaults(document) {
    const request = document as CertificateSigningRequest;
    request.status ??= {};
    const { spec, status } = request;
    if (spec?.request) spec.request = spec.request.replace(/[\r\n]/g, "");
    if (status.certificate) status.certificate = status.certificate.replace(/[\r\n]/g, "");
  },
  prepareForCreate(document, context) {
    const request = document as CertificateSigningRequest;
    request.spec = { ...request.spec, ...creatorOf(context) };
  },
  prepareForUpdate(next, stored, now, context) {
    const request = next as CertificateSigningRequest;
    request.spec = structuredClone(specOf(stored));
    if (context?.subresource === approval) {
      // Who approves decides about the conditions alone.
      request.status = structuredClone({ ...statusOf(stored), ...conditionsOf(next) });
    }
    setTimes(request.status?.conditions ?? [], statusOf(stored).conditions ?? [], now);
  },
  validate: (document) => [
    ...validateSpec(specOf(document)),
    ...validateConditions(statusOf(document).conditions ?? []),
    ...validateCertificate(statusOf(document).certificate ?? ""),
  ],
  validateUpdate: (next, stored, context) =>
    validateStatusUpdate(statusOf(next), statusOf(stored), context?.subresource ?? ""),
  selectableFields: { "spec.signerName": (document) => specOf(document).signerName ?? "" },
  columns: [
    nameColumn,
    ageColumn,
    { name: "SignerName", value: (document) => specOf(document).signerName || "<none>" },
    { name: "Requestor", value: (document) => specOf(document).username ?? "" },
    {
      name: "RequestedDuration",
      value: (document) => {
        const seconds = specOf(document).expirationSeconds;
        return seconds === undefined ? "<none>" : formatDuration(seconds * 1_000);
      },
    },
    { name: "Condition", value: (document) => conditionText(statusOf(document)) },
  ],
});

function creatorOf(context: WriteContext | undefined): CertificateSigningRequestSpec {
  const { name, uid, groups = [], extra = {} } = context?.user ?? {};
  const known = Object.entries(extra).map(([key, values]) => [key, [...values]]);
  return {
    username: name,
    uid: uid || undefined,
    groups: [...groups],
    extra: known.length > 0 ? Object.fromEntries(known) : undefined,
  };
}

function conditionsOf(document: Document): CertificateSigningRequestStatus {
  const { conditions } = statusOf(document);
  return conditions === undefined ? { conditions: undefined } : { conditions };
}

function setTimes(
  conditions: readonly CertificateSigningRequestCondition[],
  before: readonly CertificateSigningRequestCondition[],
  nowMillis: number,
): void {
  const now = rfc3339Seconds(nowMillis);
  for (const condition of conditions) {
    condition.lastUpdateTime ??= now;
    const same = before.find(
      ({ type, status }) => type === condition.type && status === condition.status,
    );
    condition.lastTransitionTime ??= same?.lastTransitionTime ?? now;
  }
}

function conditionText({ conditions = [], certificate = "" }: CertificateSigningRequestStatus) {
  const has = (type: string) => conditions.some((condition) => condition.type === type);
  const decision = has("Denied") ? "Denied" : has("Approved") ? "Approved" : "Pending";
  return decision + (has("Failed") ? ",Failed" : "") + (certificate === "" ? "" : ",Issued");
}

function validateSpec(spec: CertificateSigningRequestSpec): FieldCause[] {
  const { request = "", usages = [], signerName = "", expirationSeconds } = spec;
  const pem = Buffer.from(request, "base64").toString("latin1");
  const causes = wrong("spec.request", spec.request, checkCertificateRequest(pem));
  if (usages.length === 0) causes.push(required("spec.usages"));
  usages.forEach((usage, index) => {
    causes.push(...oneOf(usage, usageNames, `spec.usages[${index}]`));
  });
  usages.forEach((usage, index) => {
    const repeated = usages.indexOf(usage) < index;
    if (repeated) causes.push(duplicate(`spec.usages[${index}]`, usage));
  });
  if (signerName === "kubernetes.io/legacy-unknown") {
    const detail = "the legacy signerName is not allowed via this API version";
    causes.push(invalid("spec.signerName", signerName, detail));
  } else causes.push(...validateSignerName(signerName, "spec.signerName"));
  if (expirationSeconds !== undefined && expirationSeconds < expirationSecondsMin) {
    const detail = "may not specify a duration less than 600 seconds (10 minutes)";
    causes.push(invalid("spec.expirationSeconds", expirationSeconds, detail));
  }
  return causes;
}

function validateConditions(list: readonly CertificateSigningRequestCondition[]): FieldCause[] {
  const seen = new Set<string>();
  return list.flatMap(({ type = "", status = "" }, index) => {
    const at = `status.conditions[${index}]`;
    const causes: FieldCause[] = type === "" ? [required(`${at}.type`)] : [];
    const allowed = finalTypes.includes(type) ? ["True"] : ["False", "True", "Unknown"];
    if (status === "") causes.push(required(`${at}.status`));
    else causes.push(...oneOf(status, allowed, `${at}.status`));
    const other = decisions.find((each) => each !== type) ?? "";
    if (decisions.includes(type) && seen.has(other)) {
      const detail = "Approved and Denied conditions are mutually exclusive";
      causes.push(invalid(`${at}.type`, type, detail));
    }
    if (seen.has(type)) causes.push(duplicate(`${at}.type`, type));
    seen.add(type);
    return causes;
  });
}

function validateCertificate(certificate: string): FieldCause[] {
  if (certificate === "") return [];
  const field = "status.certificate";
  const pem = Buffer.from(certificate, "base64").toString("latin1");
  return wrong(field, "<certificate data>", checkCertificates(pem));
}

/** Which parts of the status each subresource may write. */
function validateStatusUpdate(
  next: CertificateSigningRequestStatus,
  stored: CertificateSigningRequestStatus,
  subresource: string,
): FieldCause[] {
  const refuse = (verb: string, type: string): FieldCause => {
    const detail = `updates may not ${verb} a condition of type ${JSON.stringify(type)}`;
    return forbidden("status.conditions", detail);
  };
  const find = (status: CertificateSigningRequestStatus, type: string) =>
    (status.conditions ?? []).filter((condition) => condition.type === type);
  const removed = finalTypes.filter((type) => find(next, type).length < find(stored, type).length);
  const causes = removed.map((type) => refuse("remove", type));
  if (subresource !== approval) {
    for (const type of decisions.filter((each) => !removed.includes(each))) {
      const [now, before] = [find(next, type), find(stored, type)];
      if (now.length > before.length) causes.push(refuse("add", type));
      else if (!equalJson(now, before)) causes.push(refuse("modify", type));
    }
  }
  const { certificate = "" } = stored;
  if ((next.certificate ?? "") === certificate) return causes;
  if (subresource !== "status") {
    causes.push(forbidden("status.certificate", "updates may not set certificate content"));
  } else if (certificate !== "") {
    const detail = "updates may not modify existing certificate content";
    causes.push(forbidden("status.certificate", detail));
  }
  return causes;
}
