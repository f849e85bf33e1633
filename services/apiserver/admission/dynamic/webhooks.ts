/** Upstream's MutatingAdmissionWebhook and ValidatingAdmissionWebhook. */
import { StatusError } from "../../../../ha/runtime/status-error.ts";
import { applyJsonPatch } from "../../../kinds/machinery/patches/json-patch.ts";
import { type Document, equalJson, type Resource } from "../../../kinds/mod.ts";
import { type AdmissionPlugin, type AdmissionRequest, againNote } from "../chain.ts";
import { isExempt } from "./matching.ts";
import { converted, isAboutObject } from "./review.ts";
import { internalError } from "./webhook-answer.ts";
import {
  ask,
  type Hook,
  hooksOf,
  noteMutation,
  type Question,
  questionFor,
  type Turn,
  type WebhookContext,
} from "./webhook-call.ts";

/** The configurations in the order of their names, as the watch cache has them. */
export type Configurations = () => Iterable<Document>;

/** What the mutating webhooks have done to one request so far. */
interface Progress {
  /** Those that may be asked again, in the order in which they were asked. */
  readonly asked: Set<string>;
  /** Those of them that are to be asked again, as the object has changed since. */
  readonly again: Set<string>;
  /** The object as the last of them left it. */
  left: string;
}

const mutatingName = "mutating-webhooks";
const validatingName = "validating-webhooks";

/** Asks one webhook after the other, and those that want it once more after a later change. */
export function mutatingWebhooks(list: Configurations, context: WebhookContext): AdmissionPlugin {
  return {
    name: mutatingName,
    dynamic: true,
    async mutate(request) {
      if (isExempt(request.resource)) return;
      const hooks = hooksIn(list);
      if (hooks.length === 0) return;
      const before = request.notes.get(mutatingName) as Progress | undefined;
      const reinvoked = request.notes.has(againNote);
      // A further attempt of a creation has the object that they left.
      if (before !== undefined && request.operation === "create" && !reinvoked) return;
      const progress: Progress =
        before !== undefined && reinvoked
          ? before
          : { asked: new Set(), again: new Set(), left: "" };
      request.notes.set(mutatingName, progress);
      if (reinvoked && JSON.stringify(request.document) !== progress.left) {
        for (const id of progress.asked) progress.again.add(id);
      }
      for (const [index, hook] of hooks.entries()) {
        if (reinvoked && !progress.again.has(hook.id)) continue;
        const question = await questionFor(hook, request, context);
        if (question === undefined) continue;
        const turn = { mutating: true, round: reinvoked ? 1 : 0, index } as const;
        if (await mutateBy(question, request, context, turn)) {
          for (const id of progress.asked) progress.again.add(id);
          if (!reinvoked) request.notes.set(againNote, true);
        }
        if (hook.webhook.reinvocationPolicy === "IfNeeded") progress.asked.add(hook.id);
      }
      progress.left = JSON.stringify(request.document) ?? "";
    },
  };
}

function hooksIn(list: Configurations): readonly Hook[] {
  const hooks: Hook[] = [];
  for (const configuration of list()) hooks.push(...hooksOf(configuration));
  return hooks;
}

/** True: it has changed the object. */
async function mutateBy(
  question: Question,
  request: AdmissionRequest,
  context: WebhookContext,
  turn: Turn,
): Promise<boolean> {
  let mutated = false;
  let patch: unknown;
  try {
    patch = (await ask(question, request, context, turn))?.patch;
    mutated = await patchBy(question, request, patch);
    return mutated;
  } finally {
    noteMutation(request, question.hook, turn, mutated, patch);
  }
}

/** True: the patch has changed the object. */
async function patchBy(
  question: Question,
  request: AdmissionRequest,
  patch: unknown,
): Promise<boolean> {
  if (patch === undefined || (Array.isArray(patch) && patch.length === 0)) return false;
  const name = JSON.stringify(question.hook.webhook.name ?? "");
  const { document } = request;
  if (document === undefined || question.object === undefined) {
    throw internalError(
      `admission webhook ${name} attempted to modify the object, which is not supported for ` +
        "this operation",
    );
  }
  let patched: Document;
  try {
    patched = applyJsonPatch({ ...question.object }, patch) as Document;
  } catch (thrown) {
    throw internalError(StatusError.from(thrown).message);
  }
  const shown = isAboutObject(request) ? question.resource : undefined;
  const next = shown === undefined ? patched : await checked(patched, shown, request, name);
  if (equalJson(next, document)) return false;
  for (const key of Object.keys(document)) delete document[key];
  Object.assign(document, next);
  return true;
}

/** What the patch made of the object, as one of the request's resource. */
async function checked(
  patched: Document,
  shown: Resource,
  request: AdmissionRequest,
  webhook: string,
): Promise<Document> {
  const { resource, document = {} } = request;
  const { errors, document: known } = shown.schema.check(patched, "ignore");
  const [first] = errors;
  if (first !== undefined) {
    const what = `${first.field}: ${first.message}`;
    throw internalError(`admission webhook ${webhook} made an invalid object: ${what}`);
  }
  const next = (await converted(known, shown, resource)) ?? known;
  const [had, has] = [document.metadata ?? {}, next.metadata ?? {}];
  for (const field of ["name", "namespace"] as const) {
    if ((had[field] ?? "") === (has[field] ?? "")) continue;
    throw internalError(`admission webhook ${webhook} attempted to change metadata.${field}`);
  }
  // What the server alone sets.
  for (const field of serverFields) {
    if (had[field] === undefined) delete has[field];
    else Object.assign(has, { [field]: had[field] });
  }
  next.metadata = has;
  next.apiVersion = document.apiVersion;
  next.kind = document.kind;
  resource.setDefaults(next);
  return next;
}

const serverFields = [
  ...["uid", "creationTimestamp", "generation", "resourceVersion", "managedFields"],
  ...["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generateName"],
] as const as readonly (keyof NonNullable<Document["metadata"]>)[];

/** Asks all webhooks at once; the first refusal, in their order, is the answer. */
export function validatingWebhooks(list: Configurations, context: WebhookContext): AdmissionPlugin {
  return {
    name: validatingName,
    dynamic: true,
    async validate(request) {
      if (isExempt(request.resource)) return;
      const hooks = hooksIn(list);
      if (hooks.length === 0) return;
      const text = request.operation === "create" ? JSON.stringify(request.document) : undefined;
      if (text !== undefined && request.notes.get(validatingName) === text) return;
      const questions: Question[] = [];
      for (const hook of hooks) {
        const question = await questionFor(hook, request, context);
        if (question !== undefined) questions.push(question);
      }
      const answers = await Promise.allSettled(
        questions.map((question, index) =>
          ask(question, request, context, { mutating: false, round: 0, index }),
        ),
      );
      for (const answer of answers) if (answer.status === "rejected") throw answer.reason;
      request.notes.set(validatingName, text);
    },
  };
}
