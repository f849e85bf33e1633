/**
 * Expressions about requests: match conditions of webhooks, and admission policies (KEP-3488). They
 * stand on the environment of rules, with the variables of a request and the authorizer.
 */
import { authorizerType, registerAuthorizer } from "./authorizer.ts";
import { compileExpression, type Expression } from "./compile.ts";
import { type CelEnvironment, celEnvironment } from "./environment.ts";

/** What else than `object`, `oldObject` and `request` an expression may read. */
export interface AdmissionScope {
  readonly params?: boolean;
  readonly namespaceObject?: boolean;
  readonly authorizer?: boolean;
  /** The policy's own variables that come before the expression, with their types. */
  readonly variables?: ReadonlyMap<string, string>;
}

/** Carries a policy's variables; each is computed when it is first read. */
export class PolicyVariables {}

const variablesType = "kubernetes.variables";

const environments = new Map<string, CelEnvironment>();

function environmentOf(scope: AdmissionScope): CelEnvironment {
  const { params, namespaceObject, authorizer, variables } = scope;
  const key = `${params === true} ${namespaceObject === true} ${authorizer === true}`;
  const known = variables === undefined ? environments.get(key) : undefined;
  if (known !== undefined) return known;
  const environment = celEnvironment();
  if (authorizer) registerAuthorizer(environment);
  if (variables !== undefined) {
    const fields = Object.fromEntries(variables);
    environment.registerType(variablesType, { ctor: PolicyVariables, fields });
    environment.registerVariable("variables", variablesType);
  }
  for (const name of ["object", "oldObject", "request"]) environment.registerVariable(name, "dyn");
  if (params) environment.registerVariable("params", "dyn");
  if (namespaceObject) environment.registerVariable("namespaceObject", "dyn");
  if (authorizer) environment.registerVariable("authorizer", authorizerType);
  if (variables === undefined) environments.set(key, environment);
  return environment;
}

/** Compiles the expressions that read the same variables. */
export class AdmissionCompiler {
  readonly #environment: CelEnvironment;

  constructor(scope: AdmissionScope) {
    this.#environment = environmentOf(scope);
  }

  /** `types`: what the result must be of; absent: anything. Throws an Error with the reason. */
  compile(text: string, types?: readonly string[]): Expression {
    const expression = compileExpression(this.#environment, text.trim());
    const { type } = expression;
    if (types === undefined || type === "dyn" || types.includes(type)) return expression;
    const names = types.map((each) => (each === "null" ? "null_type" : each));
    const wanted = names.length === 1 ? names[0] : `one of [${names.join(" ")}]`;
    throw new Error(`must evaluate to ${wanted} but got ${type}`);
  }
}

/** What is wrong with an expression; nothing: it compiles. */
export function expressionProblems(
  scope: AdmissionScope,
  text: string,
  types?: readonly string[],
): string[] {
  try {
    new AdmissionCompiler(scope).compile(text, types);
    return [];
  } catch (thrown) {
    return [thrown instanceof Error ? thrown.message : String(thrown)];
  }
}
