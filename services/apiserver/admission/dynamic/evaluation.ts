/** Evaluates expressions about one request. */

import { type AccessQuestion, AuthorizerValue } from "../../../kinds/machinery/cel/authorizer.ts";
import { Budget } from "../../../kinds/machinery/cel/budget.ts";
import type { Expression } from "../../../kinds/machinery/cel/compile.ts";
import { plainValue } from "../../../kinds/machinery/cel/types.ts";
import type { Document } from "../../../kinds/mod.ts";
import { type Authorizer, decide } from "../../auth/authorize.ts";
import { serviceAccountUser } from "../../auth/rbac/policy.ts";
import type { User } from "../../request-info.ts";
import type { AdmissionRequest } from "../chain.ts";

/** Steps of one expression, and of all that are asked about one request by one policy. */
const expressionSteps = 500_000;
const requestSteps = 1_500_000;

/** What an expression came to. */
export type Outcome = { readonly value: unknown } | { readonly error: string };

/** The variables of one request, as one policy or webhook sees it. */
export class Evaluation {
  readonly #variables: Record<string, unknown>;
  #left = requestSteps;

  constructor(
    request: AdmissionRequest,
    review: Readonly<Record<string, unknown>>,
    objects: { readonly object: Document | undefined; readonly oldObject: Document | undefined },
    authorizers: readonly Authorizer[],
    more: Readonly<Record<string, unknown>> = {},
  ) {
    this.#variables = {
      object: plainValue(objects.object),
      oldObject: plainValue(objects.oldObject),
      request: plainValue(review),
      authorizer: authorizerOf(request, authorizers),
      ...more,
    };
  }

  /** One more variable, e.g. `params`. */
  set(name: string, value: unknown): void {
    this.#variables[name] = value;
  }

  evaluate(expression: Expression): Outcome {
    const budget = new Budget(Math.min(expressionSteps, this.#left));
    const granted = budget.left;
    try {
      const read = [...expression.reads].filter((name) => Object.hasOwn(this.#variables, name));
      const variables = Object.fromEntries(read.map((name) => [name, this.#variables[name]]));
      return { value: expression.evaluate(variables, budget) };
    } catch (thrown) {
      return { error: thrown instanceof Error ? thrown.message : String(thrown) };
    } finally {
      this.#left -= granted - Math.max(budget.left, 0);
    }
  }
}

function authorizerOf(
  { user, resource, subresource, namespace, name }: AdmissionRequest,
  authorizers: readonly Authorizer[],
): AuthorizerValue {
  const ask = ({ serviceAccount, ...about }: AccessQuestion) => {
    const asked = serviceAccount === undefined ? user : accountUser(serviceAccount);
    const { allowed, reason = "" } = decide(authorizers, { user: asked, ...about });
    return { allowed, reason };
  };
  const { group, plural } = resource;
  return new AuthorizerValue(ask, {}, { group, resource: plural, subresource, namespace, name });
}

function accountUser({ namespace, name }: { namespace: string; name: string }): User {
  const groups = ["system:serviceaccounts", `system:serviceaccounts:${namespace}`];
  return { name: serviceAccountUser(namespace, name), groups: [...groups, "system:authenticated"] };
}
