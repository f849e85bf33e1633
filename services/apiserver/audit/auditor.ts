/** The audit log, as requests meet it. */
import { limits } from "../limits.ts";
import type { RequestInfo } from "../request-info.ts";
import type { AuditPolicy } from "./policy.ts";
import { AuditRecord, type AuditSource } from "./record.ts";

/** Where events go. Neither waits nor throws. */
export interface AuditSink {
  offer(event: string): void;
}

export class Auditor {
  readonly #policy: AuditPolicy;
  readonly #sink: AuditSink;
  readonly #now: () => number;

  /** `now`: Unix milliseconds. */
  constructor(policy: AuditPolicy, sink: AuditSink, now: () => number) {
    this.#policy = policy;
    this.#sink = sink;
    this.#now = now;
  }

  now(): number {
    return this.#now();
  }

  /** Undefined: the policy says nothing of such requests. */
  begin(source: AuditSource, info: RequestInfo, version: string): AuditRecord | undefined {
    const caller = info.user.impersonatedBy ?? info.user;
    const verdict = this.#policy.verdictOf(info, caller);
    if (verdict.level === "None") return undefined;
    return new AuditRecord({
      ...{ source, info, version, caller, verdict },
      write: (event) => this.#sink.offer(event),
      now: this.#now,
      documentBytesMax: limits.auditDocumentBytes,
    });
  }
}

const auditIdLengthMax = 64;

/** The client's own id of a request, if it gives a usable one. */
export function auditIdOf(given: string | undefined, newId: () => string): string {
  if (given === undefined || !/^[\x21-\x7e]+$/.test(given)) return newId();
  return given.slice(0, auditIdLengthMax);
}

/** Who a request came from, the client first (apimachinery `net.SourceIPs`). */
export function sourceIpsOf(forwarded: string | undefined, peer: string | undefined): string[] {
  const told = (forwarded ?? "").split(",", sourceIpsMax).map((each) => each.trim());
  const all = [...told, peer ?? ""].map((each) => each.replace(/^::ffff:/, ""));
  return [...new Set(all.filter((each) => /^[0-9a-f.:]+$/i.test(each)))];
}

const sourceIpsMax = 16;
