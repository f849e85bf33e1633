/** How requests end, as the audit log tells it. */
import { httpCodeOf, toStatusDocument } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { anonymous } from "../auth/authenticate.ts";
import { pathInfo } from "../request-info.ts";
import type { Auditor } from "./auditor.ts";
import type { AuditOutcome, AuditSource } from "./record.ts";

/** Of a request that failed. What is no expected error is a fault of this program. */
export function failure(thrown: unknown): AuditOutcome {
  const error = StatusError.from(thrown);
  const status = toStatusDocument(error);
  const panic = error.code === Code.unknown;
  return { code: status.code ?? httpCodeOf(error), status, document: () => status, panic };
}

/** A caller who could not be identified: what it asks for is not looked at. */
export function auditUnidentified(
  audit: Auditor,
  source: AuditSource,
  thrown: unknown,
  verb: string,
): void {
  const nobody = { ...anonymous, name: "", groups: [] };
  audit.begin(source, pathInfo(nobody, pathOf(source), verb), "")?.complete(failure(thrown));
}

function pathOf({ requestUri }: AuditSource): string {
  return requestUri.split("?", 1)[0] ?? "";
}
