/** Conversion by a webhook: ConversionReview of apiextensions.k8s.io/v1, and upstream's checks. */
import { randomUUID } from "node:crypto";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { inSpan, type Span, SpanKind, traceparentOf } from "../../../ha/runtime/trace.ts";
import { isObject } from "../../kinds/machinery/json.ts";
import { copyJson, type Document } from "../../kinds/mod.ts";
import { limits } from "../limits.ts";
import { Semaphore } from "../semaphore.ts";
import { presentRequest } from "../storage/present-request.ts";
import { callWebhook, type ServiceLookup } from "../webhook-client.ts";
import type { RemoteConversion } from "./converter.ts";

const bounds = {
  timeoutMillis: limits.conversionMillis,
  answerBytes: limits.conversionAnswerBytes,
} as const;

/** Calls of one master share the bound. */
export function conversionWebhooks(services: ServiceLookup): RemoteConversion {
  const calls = new Semaphore("calls of webhooks", limits.conversionCalls, limits.seats);
  return (conversion) => async (documents, apiVersion) => {
    const config = conversion.webhook?.clientConfig ?? {};
    const waiting = documents.filter((document) => document.apiVersion !== apiVersion);
    const [first] = waiting;
    if (first === undefined) return documents;
    const about = `conversion webhook for ${first.apiVersion}, Kind=${first.kind}`;
    const uid = randomUUID();
    const review = {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "ConversionReview",
      request: { uid, desiredAPIVersion: apiVersion, objects: waiting },
      response: null,
    };
    let answer: unknown;
    try {
      const request = presentRequest();
      const call = (span: Span | undefined) => {
        span?.set("trireme.converted_objects", waiting.length);
        const traceparent = traceparentOf(span === undefined ? request : { span });
        return callWebhook(config, review, services, bounds, traceparent);
      };
      const name = `conversion webhook ${first.kind} ${apiVersion}`;
      answer = await calls.run(() => inSpan(request ?? {}, name, call, SpanKind.client));
    } catch (thrown) {
      const error = StatusError.from(thrown);
      throw error.code === Code.unavailable ? error : internal(`${about} failed: ${error.message}`);
    }
    const converted = convertedOf(answer, { uid, apiVersion, waiting, about });
    const results = converted.values();
    return documents.map((document) =>
      document.apiVersion === apiVersion ? document : (results.next().value ?? document),
    );
  };
}

interface Asked {
  readonly uid: string;
  readonly apiVersion: string;
  readonly waiting: readonly Document[];
  readonly about: string;
}

function internal(message: string): StatusError {
  return new StatusError(Code.internal, message, { reason: "InternalError" });
}

function convertedOf(answer: unknown, asked: Asked): Document[] {
  const { uid, waiting, about } = asked;
  const invalid = (why: string) => internal(`invalid response from ${about}: ${why}`);
  if (!isObject(answer)) throw invalid("the answer is no object");
  if (answer["apiVersion"] !== "apiextensions.k8s.io/v1" || answer["kind"] !== "ConversionReview") {
    throw invalid(
      "expected response of apiextensions.k8s.io/v1, Kind=ConversionReview, got " +
        `${String(answer["apiVersion"])}, Kind=${String(answer["kind"])}`,
    );
  }
  const { response } = answer;
  if (!isObject(response)) throw invalid("no response provided");
  if (response["uid"] !== uid) {
    throw invalid(
      `expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response["uid"] ?? "")}`,
    );
  }
  const result = isObject(response["result"]) ? response["result"] : {};
  if (result["status"] !== "Success") {
    const message = typeof result["message"] === "string" ? result["message"] : "";
    throw internal(`${about} failed: ${message === "" ? "unknown" : message}`);
  }
  const objects = Array.isArray(response["convertedObjects"]) ? response["convertedObjects"] : [];
  if (objects.length !== waiting.length) {
    throw internal(`${about} returned ${objects.length} objects, expected ${waiting.length}`);
  }
  return waiting.map((original, index) => checked(original, objects[index], index, asked));
}

function checked(
  original: Document,
  converted: unknown,
  index: number,
  { apiVersion, about }: Asked,
): Document {
  const invalid = (what: string) =>
    internal(`${about} returned invalid converted object at index ${index}: ${what}`);
  if (!isObject(converted)) throw invalid("it is no object");
  const { apiVersion: version, kind, metadata } = converted;
  if (version !== apiVersion) {
    throw invalid(`invalid groupVersion (expected ${apiVersion}, received ${String(version)})`);
  }
  if (kind !== original.kind) {
    throw invalid(`invalid kind (expected ${original.kind}, received ${String(kind)})`);
  }
  if (!isObject(metadata)) throw invalid("invalid metadata: it is no object");
  for (const field of ["name", "namespace", "uid"] as const) {
    const [before, after] = [original.metadata?.[field] ?? "", metadata[field] ?? ""];
    if (before === after) continue;
    const must = `must have the same ${field === "uid" ? "UID" : field}`;
    throw internal(
      `${about} returned invalid metadata at index ${index}: ${must}: ${before} != ${shown(after)}`,
    );
  }
  // Labels and annotations may change; the rest of the metadata are the server's.
  const { labels: _labels, annotations: _annotations, ...kept } = original.metadata ?? {};
  const changed: Record<string, unknown> = {};
  for (const field of ["labels", "annotations"]) {
    const map = metadata[field];
    if (map === undefined || map === null) continue;
    const texts = isObject(map) && Object.values(map).every((each) => typeof each === "string");
    if (!texts) throw invalid(`invalid metadata: ${field} must map texts to texts`);
    changed[field] = map;
  }
  return copyJson({ ...converted, metadata: { ...kept, ...changed } }) as Document;
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
