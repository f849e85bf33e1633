/** The audit log's record of a REST request, which begins before anything is done about it. */

import { parseYaml } from "../../../kinds/mod.ts";
import type { Auditor } from "../../audit/auditor.ts";
import { sourceIpsOf } from "../../audit/auditor.ts";
import { auditUnidentified, failure } from "../../audit/outcome.ts";
import type { AuditRecord, AuditSource } from "../../audit/record.ts";
import { limits } from "../../limits.ts";
import { pathInfo, type RequestInfo, type User } from "../../request-info.ts";
import { contentOf } from "./content.ts";
import { parseTarget, type Target } from "./target.ts";
import { type ByteStream, isStream, type RestRequest, type RestResponse } from "./types.ts";

type Audited = Pick<RestRequest, "header" | "headers" | "target" | "method" | "peer"> &
  Partial<Pick<RestRequest, "body">>;

export class RestAudit {
  readonly #audit: Auditor;
  readonly #request: Audited;
  readonly #source: AuditSource;
  #begun = false;
  #record: AuditRecord | undefined;

  constructor(audit: Auditor, request: Audited, auditId: string) {
    this.#audit = audit;
    this.#request = request;
    this.#source = {
      auditId,
      requestUri: request.target,
      sourceIps: sourceIpsOf(request.headers("x-forwarded-for").join(","), request.peer.address),
      userAgent: request.header("user-agent"),
      receivedAt: audit.now(),
    };
  }

  get record(): AuditRecord | undefined {
    return this.#record;
  }

  begin(user: User, target: Target): AuditRecord | undefined {
    this.#begun = true;
    const version = target.kind === "resource" ? target.version : "";
    this.#record = this.#audit.begin(this.#source, infoOf(user, target), version);
    if (this.#record?.wantsRequest || this.#isCreate(target)) {
      this.#record?.requestObject(() => this.#content());
    }
    return this.#record;
  }

  failed(thrown: unknown): void {
    if (this.#begun) this.#record?.complete(failure(thrown));
    else auditUnidentified(this.#audit, this.#source, thrown, this.#verb());
  }

  /** The response, which completes the record when it has been sent. */
  answered(response: RestResponse): RestResponse {
    const record = this.#record;
    if (record === undefined) return response;
    const { status: code, body } = response;
    if (isStream(body)) {
      if (!response.isDocument) record.responseStarted(code);
      const wanted = response.isDocument === true && record.wantsResponse;
      return { ...response, body: followed(body, record, code, wanted) };
    }
    const document = () => parsed(body);
    const status = statusIn(body);
    record.complete({ code, status, document });
    return response;
  }

  /** A body that cannot be read is refused by the verb. */
  #content(): unknown {
    const { body } = this.#request;
    if (body === undefined || body.length === 0) return undefined;
    try {
      const type = this.#request.header("content-type") ?? "";
      if (/^application\/\S+\+json/.test(type)) return parsed(body);
      if (type.startsWith("application/apply-patch+yaml"))
        return parseYaml(Buffer.from(body).toString("utf8"))[0];
      return contentOf(this.#request as RestRequest)?.value;
    } catch {
      return undefined;
    }
  }

  /** A new object's name is in its body alone. */
  #isCreate(target: Target): boolean {
    return target.kind === "resource" && target.verb === "create" && target.name === "";
  }

  #verb(): string {
    try {
      return parseTarget(this.#request.method, this.#request.target).verb;
    } catch {
      return this.#request.method.toLowerCase();
    }
  }
}

function infoOf(user: User, target: Target): RequestInfo {
  if (target.kind === "path") return pathInfo(user, target.path, target.verb);
  const { verb, group, plural: resource, subresource, namespace, name, query } = target;
  const fieldSelector = query.get("fieldSelector") ?? "";
  return { user, verb, group, resource, subresource, namespace, name, fieldSelector, path: "" };
}

/** Every `Status` is short. */
const statusBytesMax = 64 * 1024;

function statusIn(body: Uint8Array): object | undefined {
  if (body.length > statusBytesMax) return undefined;
  const value = parsed(body) as { kind?: unknown } | undefined;
  return typeof value === "object" && value?.kind === "Status" ? value : undefined;
}

function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8"));
  } catch {
    // What is no JSON is no document.
    return undefined;
  }
}

/** The pieces as they come, and a record that is complete when they end. */
async function* followed(
  body: ByteStream,
  record: AuditRecord,
  code: number,
  wanted: boolean,
): ByteStream & AsyncGenerator<Uint8Array, void> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const piece of body) {
      if (wanted && bytes <= limits.auditDocumentBytes) pieces.push(piece);
      bytes += piece.length;
      yield piece;
    }
  } catch (thrown) {
    record.complete(failure(thrown));
    throw thrown;
  } finally {
    if (wanted && bytes > limits.auditDocumentBytes)
      record.annotate("audit.k8s.io/truncated", "true");
    const whole = wanted && bytes <= limits.auditDocumentBytes;
    record.complete({
      code,
      document: whole ? () => parsed(Buffer.concat(pieces)) : undefined,
    });
  }
}
