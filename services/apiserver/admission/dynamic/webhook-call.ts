/** One question to one webhook. */
import { randomUUID } from "node:crypto";
import { StatusError } from "../../../../ha/runtime/status-error.ts";
import { inSpan, type Span, SpanKind, traceparentOf } from "../../../../ha/runtime/trace.ts";
import type { MutatingWebhook } from "../../../../proto/gen/admissionregistration.ts";
import { memoized } from "../../../kinds/machinery/cel/memo.ts";
import { checkQualifiedName } from "../../../kinds/machinery/names.ts";
import type { Document, Resource } from "../../../kinds/mod.ts";
import type { Authorizer } from "../../auth/authorize.ts";
import { badRequest, forbidden } from "../../errors.ts";
import { limits } from "../../limits.ts";
import { Semaphore } from "../../semaphore.ts";
import { callWebhook, type ServiceLookup } from "../../webhook-client.ts";
import type { AdmissionRequest } from "../chain.ts";
import { type CompiledCondition, compileConditions, holds } from "./conditions.ts";
import { Evaluation } from "./evaluation.ts";
import { type MatchContext, matchedAs } from "./matching.ts";
import { converted, isAboutObject, reviewRequest } from "./review.ts";
import {
  denial,
  internalError,
  readAnswer,
  reviewVersion,
  type WebhookAnswer,
  WebhookFailure,
} from "./webhook-answer.ts";

export interface WebhookContext extends MatchContext {
  readonly services: ServiceLookup;
  readonly authorizers: readonly Authorizer[];
}

/** One webhook of one configuration. */
export interface Hook {
  /** Of this webhook, as long as its configuration stays as it is. */
  readonly id: string;
  readonly webhook: MutatingWebhook;
  /** Name of the configuration. */
  readonly configuration: string;
  readonly calls: Semaphore;
  conditions(): readonly CompiledCondition[];
}

/** Those of a configuration, made once per revision of it. */
export const hooksOf: (configuration: Document) => readonly Hook[] = memoized((configuration) => {
  const webhooks = (configuration["webhooks"] ?? []) as MutatingWebhook[];
  return webhooks.map((webhook, index) => {
    let compiled: readonly CompiledCondition[] | undefined;
    return {
      id: `${configuration.metadata?.uid ?? ""}/${index}`,
      webhook,
      configuration: configuration.metadata?.name ?? "",
      calls: new Semaphore("calls of webhooks", limits.webhookCalls, limits.seats),
      conditions() {
        compiled ??= compileConditions(webhook.matchConditions, { authorizer: true });
        return compiled;
      },
    };
  });
});

/** What is asked, and as whose objects. */
export interface Question {
  readonly hook: Hook;
  readonly resource: Resource;
  readonly object: Document | undefined;
  readonly oldObject: Document | undefined;
}

/** Undefined: the webhook is not about this request. Throws Forbidden for failing conditions. */
export async function questionFor(
  hook: Hook,
  request: AdmissionRequest,
  context: WebhookContext,
): Promise<Question | undefined> {
  const { webhook } = hook;
  const match = { ...webhook, resourceRules: webhook.rules };
  const resource = await matchedAs(request, match, context);
  if (resource === undefined) return undefined;
  const whole = isAboutObject(request);
  const shown = async (document: Document | undefined) =>
    whole ? converted(document, request.resource, resource) : document;
  const [object, oldObject] = [await shown(request.document), await shown(request.stored)];
  const question = { hook, resource, object, oldObject };
  return conditionsHold(question, request, context) ? question : undefined;
}

function conditionsHold(
  { hook, resource, object, oldObject }: Question,
  request: AdmissionRequest,
  { authorizers }: WebhookContext,
): boolean {
  const { webhook } = hook;
  if ((webhook.matchConditions ?? []).length === 0) return true;
  const review = reviewRequest(request, resource, "");
  const evaluation = new Evaluation(request, review, { object, oldObject }, authorizers);
  const { matches, error } = holds(hook.conditions(), evaluation);
  if (error === undefined) return matches;
  if (webhook.failurePolicy === "Ignore") return false;
  throw forbidden(request.resource, request.name, error);
}

/** When a webhook is asked: in which round, as which of all webhooks or of those that are asked. */
export interface Turn {
  readonly mutating: boolean;
  readonly round: 0 | 1;
  readonly index: number;
}

/** In the keys of annotations, as upstream has them. */
function placeOf({ round, index }: Turn): string {
  return `round_${round}_index_${index}`;
}

/** Notes what a mutating webhook has done: that it did, and, where bodies are logged, how. */
export function noteMutation(
  { annotate }: AdmissionRequest,
  { configuration, webhook: { name: webhook = "" } }: Hook,
  turn: Turn,
  mutated: boolean,
  patch?: unknown,
): void {
  if (annotate === undefined) return;
  const about = { configuration, webhook };
  const key = `webhook.admission.k8s.io/${placeOf(turn)}`;
  if (patch !== undefined) {
    const value = JSON.stringify({ ...about, patch, patchType: "JSONPatch" });
    annotate(`patch.${key}`, value, "Request");
  }
  annotate(`mutation.${key}`, JSON.stringify({ ...about, mutated }));
}

/**
 * Undefined: it could not be asked, and its failure policy ignores that. Throws what refuses the
 * request.
 */
export async function ask(
  { hook, resource, object, oldObject }: Question,
  request: AdmissionRequest,
  { services }: WebhookContext,
  turn: Turn,
): Promise<WebhookAnswer | undefined> {
  const { webhook, calls } = hook;
  const name = webhook.name ?? "";
  const silent = webhook.sideEffects === "None" || webhook.sideEffects === "NoneOnDryRun";
  if (request.dryRun && !silent) {
    throw badRequest(`admission webhook ${JSON.stringify(name)} does not support dry run`);
  }
  const uid = randomUUID();
  const apiVersion = reviewVersion(webhook.admissionReviewVersions);
  const objects = { object: object ?? null, oldObject: oldObject ?? null };
  const asked = { ...reviewRequest(request, resource, uid), ...objects };
  let answer: WebhookAnswer;
  try {
    const review = { apiVersion, kind: "AdmissionReview", request: asked };
    const bounds = {
      timeoutMillis: 1000 * (webhook.timeoutSeconds ?? 10),
      answerBytes: limits.webhookAnswerBytes,
    };
    const { clientConfig = {} } = webhook;
    const call = (span: Span | undefined) => {
      const traceparent = traceparentOf(span === undefined ? request.traced : { span });
      return callWebhook(clientConfig, review, services, bounds, traceparent);
    };
    const response = await calls.run(() =>
      inSpan(request.traced ?? {}, `webhook ${name}`, call, SpanKind.client),
    );
    answer = readAnswer(response, { apiVersion, uid, mutating: turn.mutating });
  } catch (thrown) {
    return failed(thrown, webhook, request, turn);
  }
  for (const text of answer.warnings) {
    if (!request.warnings.includes(text)) request.warnings.push(text);
  }
  for (const [key, value] of Object.entries(answer.annotations)) {
    const named = `${name}/${key}`;
    if (checkQualifiedName(named).length === 0) request.annotate?.(named, value);
  }
  if (!answer.allowed) throw denial(name, answer.result);
  return answer;
}

function failed(
  thrown: unknown,
  { name = "", failurePolicy }: MutatingWebhook,
  request: AdmissionRequest,
  turn: Turn,
): undefined {
  const { message } = thrown instanceof WebhookFailure ? thrown : StatusError.from(thrown);
  const why = thrown instanceof WebhookFailure ? message : `failed to call webhook: ${message}`;
  if (failurePolicy === "Ignore") {
    const what = turn.mutating ? "mutation" : "validating";
    request.annotate?.(`failed-open.${what}.webhook.admission.k8s.io/${placeOf(turn)}`, name);
    return undefined;
  }
  throw internalError(`failed calling webhook ${JSON.stringify(name)}: ${why}`);
}
