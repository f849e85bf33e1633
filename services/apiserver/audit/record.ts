/** One request in the audit log: its events, stage by stage (`Event` of audit.k8s.io/v1). */
import { isObject, type JsonObject } from "../../kinds/machinery/json.ts";
import type { Decision } from "../auth/authorize.ts";
import type { RequestInfo, User } from "../request-info.ts";
import { userInfoOf } from "../user-info.ts";
import type { AuditStage, AuditVerdict } from "./policy.ts";

/** What a face knows of a request, whatever its wire. */
export interface AuditSource {
  readonly auditId: string;
  /** Path and query, as sent; of a gRPC call that of the REST request that asks the same. */
  readonly requestUri: string;
  readonly sourceIps: readonly string[];
  readonly userAgent: string | undefined;
  /** Unix milliseconds. */
  readonly receivedAt: number;
}

/** How a request ended. */
export interface AuditOutcome {
  /** An HTTP status. */
  readonly code: number;
  /** The `Status` that was answered, if one was. */
  readonly status?: object | undefined;
  /** Gives the answer's document; called only where the policy wants to have it. */
  readonly document?: (() => unknown) | undefined;
  /** A fault of this program was the end of it. */
  readonly panic?: boolean;
}

export interface AuditRecordOptions {
  readonly source: AuditSource;
  readonly info: RequestInfo;
  /** The version in which the resource was asked for. */
  readonly version: string;
  readonly caller: User;
  readonly verdict: AuditVerdict;
  /** Takes the text of an event. Must not throw. */
  readonly write: (event: string) => void;
  readonly now: () => number;
  /** Bytes of a request's or an answer's document; a longer one is left out. */
  readonly documentBytesMax: number;
}

/** Upstream's annotation for events of which something was left out. */
const truncated = "audit.k8s.io/truncated";
const annotationsMax = 256;

export class AuditRecord {
  readonly #options: AuditRecordOptions;
  readonly #annotations = new Map<string, string>();
  readonly #reference: Record<string, string>;
  #request: unknown;
  #begun = false;
  #complete = false;

  constructor(options: AuditRecordOptions) {
    this.#options = options;
    this.#reference = referenceOf(options.info, options.version);
    this.#write("RequestReceived", {});
  }

  get wantsRequest(): boolean {
    const { level } = this.#options.verdict;
    return level === "Request" || level === "RequestResponse";
  }

  get wantsResponse(): boolean {
    return this.#options.verdict.level === "RequestResponse";
  }

  /** A key keeps its first value (apiserver `audit.AddAuditAnnotation`). May be handed on alone. */
  readonly annotate = (key: string, value: string, level?: "Request"): void => {
    if (level === "Request" && !this.wantsRequest) return;
    if (this.#annotations.has(key) || this.#annotations.size >= annotationsMax) return;
    this.#annotations.set(key, value);
  };

  decided(decision: Decision): void {
    this.annotate("authorization.k8s.io/decision", decision.allowed ? "allow" : "forbid");
    this.annotate("authorization.k8s.io/reason", decision.reason ?? "");
  }

  /** What the request carries. It may change later; `make` is called at once, if at all. */
  requestObject(make: () => unknown): void {
    if (this.#request !== undefined) return;
    const value = make();
    if (isObject(value) && isObject(value["metadata"])) this.#refer(value["metadata"]);
    if (this.wantsRequest) this.#request = this.#kept(value);
  }

  /** A stream begins to be sent. */
  responseStarted(code: number): void {
    if (this.#begun || this.#complete) return;
    this.#begun = true;
    this.#write("ResponseStarted", { responseStatus: { metadata: {}, code } });
  }

  /** The first end counts. */
  complete({ code, status, document, panic = false }: AuditOutcome): void {
    if (this.#complete) return;
    this.#complete = true;
    const responseStatus = statusOf(status, code);
    const response = this.wantsResponse && document ? this.#kept(document()) : undefined;
    this.#write(panic ? "Panic" : "ResponseComplete", {
      responseStatus,
      ...(this.#request !== undefined && { requestObject: this.#request }),
      ...(response !== undefined && { responseObject: response }),
    });
  }

  /** A new object's name is in its document alone. */
  #refer(metadata: JsonObject): void {
    const { info } = this.#options;
    if (info.resource === "") return;
    const reference = this.#reference;
    for (const field of ["name", "namespace", "uid", "resourceVersion"]) {
      const value = metadata[field];
      if (typeof value === "string" && value !== "") reference[field] ??= value;
    }
  }

  /** A copy of a document as the policy wants it; undefined, with a note, if it is too long. */
  #kept(value: unknown): unknown {
    if (value === undefined) return undefined;
    const text = JSON.stringify(value);
    if (text === undefined) return undefined;
    if (text.length > this.#options.documentBytesMax) {
      this.annotate(truncated, "true");
      return undefined;
    }
    const copy: unknown = JSON.parse(text);
    return this.#options.verdict.omitManagedFields ? withoutManagedFields(copy) : copy;
  }

  #write(stage: AuditStage, more: JsonObject): void {
    const { source, info, caller, verdict, now, write } = this.#options;
    if (verdict.omitStages.has(stage)) return;
    const { user } = info;
    const annotations = Object.fromEntries(this.#annotations);
    write(
      JSON.stringify({
        kind: "Event",
        apiVersion: "audit.k8s.io/v1",
        level: verdict.level,
        auditID: source.auditId,
        stage,
        requestURI: source.requestUri,
        verb: info.verb,
        user: userInfoOf(caller),
        ...(user !== caller && { impersonatedUser: userInfoOf(user) }),
        ...(source.sourceIps.length > 0 && { sourceIPs: source.sourceIps }),
        ...(source.userAgent !== undefined && { userAgent: source.userAgent }),
        ...(info.resource !== "" && { objectRef: this.#reference }),
        ...more,
        requestReceivedTimestamp: microTime(source.receivedAt),
        stageTimestamp: microTime(now()),
        ...(this.#annotations.size > 0 && { annotations }),
      }),
    );
  }
}

function referenceOf(info: RequestInfo, version: string): Record<string, string> {
  const { resource, namespace, name, group, subresource } = info;
  const given = { resource, namespace, name, apiGroup: group, apiVersion: version, subresource };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ""));
}

function statusOf(status: object | undefined, code: number): JsonObject {
  const { kind: _kind, apiVersion: _apiVersion, ...told } = (status ?? {}) as JsonObject;
  const { details } = told;
  if (!isObject(details)) return { metadata: {}, ...told, code };
  const known = Object.entries(details).filter(([, value]) => value !== "");
  return { metadata: {}, ...told, details: Object.fromEntries(known), code };
}

function withoutManagedFields(value: unknown): unknown {
  if (!isObject(value)) return value;
  const { metadata, items } = value;
  if (isObject(metadata)) delete metadata["managedFields"];
  if (Array.isArray(items)) for (const item of items) withoutManagedFields(item);
  return value;
}

/** As `metav1.MicroTime` is written. */
function microTime(millis: number): string {
  return new Date(millis).toISOString().replace("Z", "000Z");
}
