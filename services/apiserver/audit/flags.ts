/** The audit log's flags. */
import { readFile } from "node:fs/promises";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Log } from "../../../ha/runtime/types.ts";
import { AuditLog } from "./log-file.ts";
import { AuditPolicy } from "./policy.ts";

export const auditFlags = {
  "audit-policy-file": {
    type: "string",
    help: "Policy of audit.k8s.io/v1: which requests --audit-log-path tells of, and how much",
  },
  "audit-log-path": {
    type: "string",
    help: 'file of the audit log, one JSON event a line; "-": standard output',
  },
  "audit-log-maxsize": {
    type: "number",
    default: 100,
    help: "megabytes from which on the audit log is put aside and begun anew",
  },
  "audit-log-maxbackup": {
    type: "number",
    default: 0,
    help: "audit logs put aside that are kept; 0: all",
  },
  "audit-log-maxage": {
    type: "number",
    default: 0,
    help: "days for which audit logs put aside are kept; 0: for ever",
  },
} as const;

interface AuditFlags {
  readonly "audit-policy-file": string | undefined;
  readonly "audit-log-path": string | undefined;
  readonly "audit-log-maxsize": number;
  readonly "audit-log-maxbackup": number;
  readonly "audit-log-maxage": number;
}

export interface OpenedAudit {
  readonly policy: AuditPolicy;
  readonly log: AuditLog;
}

/** Undefined: there is no audit log. Throws InvalidArgument, FailedPrecondition. */
export async function openAudit(
  flags: AuditFlags,
  { log, now }: { readonly log: Log; readonly now: () => number },
): Promise<OpenedAudit | undefined> {
  const file = flags["audit-policy-file"];
  const path = flags["audit-log-path"];
  if (file === undefined && path === undefined) return undefined;
  if (file === undefined || path === undefined) {
    throw new StatusError(
      Code.invalidArgument,
      "--audit-policy-file and --audit-log-path are given together or not at all: without a " +
        "policy no event is made, without a path none is kept",
    );
  }
  const policy = AuditPolicy.parse(await policyText(file), file);
  const audit = await AuditLog.open({
    path,
    maxBytes: 1024 * 1024 * bounded(flags, "audit-log-maxsize", 1),
    maxBackups: bounded(flags, "audit-log-maxbackup", 0),
    maxAgeDays: bounded(flags, "audit-log-maxage", 0),
    log,
    now,
  });
  return { policy, log: audit };
}

async function policyText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (thrown) {
    throw new StatusError(
      Code.invalidArgument,
      `--audit-policy-file ${file}: ${(thrown as Error).message}`,
    );
  }
}

const flagMax = 100_000;

function bounded(
  flags: AuditFlags,
  name: "audit-log-maxsize" | "audit-log-maxbackup" | "audit-log-maxage",
  least: number,
): number {
  const value = flags[name];
  if (Number.isInteger(value) && value >= least && value <= flagMax) return value;
  throw new StatusError(
    Code.invalidArgument,
    `--${name} ${value}: must be a whole number from ${least} to ${flagMax}`,
  );
}
