/** The variable `authorizer`: asks what the user of a request may do (KEP-3488). */
import { spend } from "./budget.ts";
import type { CelEnvironment } from "./environment.ts";
import { define } from "./libraries/define.ts";

/** What is asked: about a path, or about a resource. */
export interface AccessQuestion {
  /** Another one than the user of the request, e.g. `system:serviceaccount:default:builder`. */
  readonly serviceAccount?: { readonly namespace: string; readonly name: string };
  readonly verb: string;
  readonly path: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly fieldSelector: string;
}

interface AccessAnswer {
  readonly allowed: boolean;
  readonly reason: string;
}

export type AskAccess = (question: AccessQuestion) => AccessAnswer;

type Asked = Partial<AccessQuestion>;

class AccessCheck {
  readonly ask: AskAccess;
  readonly about: Asked;

  constructor(ask: AskAccess, about: Asked = {}) {
    this.ask = ask;
    this.about = about;
  }
}

class PathCheck extends AccessCheck {}
class GroupCheck extends AccessCheck {}
class ResourceCheck extends AccessCheck {}

export class AuthorizerValue extends AccessCheck {
  readonly requestResource: ResourceCheck;

  /** `requested`: what the request at hand is about. */
  constructor(ask: AskAccess, about: Asked, requested: Asked) {
    super(ask, about);
    this.requestResource = new ResourceCheck(ask, { ...requested, ...about });
  }
}

class Decision {
  readonly answer: AccessAnswer;

  constructor(answer: AccessAnswer) {
    this.answer = answer;
  }
}

const prefix = "kubernetes.authorization.";
export const authorizerType = `${prefix}Authorizer`;
const decision = `${prefix}Decision`;
const [path, group, resource] = [
  `${prefix}PathCheck`,
  `${prefix}GroupCheck`,
  `${prefix}ResourceCheck`,
];

/** A decision goes through all roles of the user. */
const checkCost = 1_000;

function check(asked: AccessCheck, verb: string): Decision {
  spend(checkCost);
  const blank = { path: "", group: "", resource: "", subresource: "", namespace: "", name: "" };
  return new Decision(asked.ask({ ...blank, fieldSelector: "", ...asked.about, verb }));
}

function narrowed(asked: AccessCheck, more: Asked): ResourceCheck {
  return new ResourceCheck(asked.ask, { ...asked.about, ...more });
}

export function registerAuthorizer(environment: CelEnvironment): void {
  environment.registerType(path, { ctor: PathCheck, fields: {} });
  environment.registerType(group, { ctor: GroupCheck, fields: {} });
  environment.registerType(resource, { ctor: ResourceCheck, fields: {} });
  environment.registerType(decision, { ctor: Decision, fields: {} });
  environment.registerType(authorizerType, {
    ctor: AuthorizerValue,
    fields: { requestResource: resource },
  });
  define(environment, {
    [`${authorizerType}.path(string): ${path}`]: (asked: AccessCheck, text: string) =>
      new PathCheck(asked.ask, { ...asked.about, path: text }),
    [`${authorizerType}.group(string): ${group}`]: (asked: AccessCheck, text: string) =>
      new GroupCheck(asked.ask, { ...asked.about, group: text }),
    [`${authorizerType}.serviceAccount(string, string): ${authorizerType}`]: (
      asked: AuthorizerValue,
      namespace: string,
      name: string,
    ) => {
      const about = { ...asked.about, serviceAccount: { namespace, name } };
      return new AuthorizerValue(asked.ask, about, asked.requestResource.about);
    },
    [`${group}.resource(string): ${resource}`]: (asked: AccessCheck, text: string) =>
      narrowed(asked, { resource: text }),
    [`${resource}.subresource(string): ${resource}`]: (asked: AccessCheck, text: string) =>
      narrowed(asked, { subresource: text }),
    [`${resource}.namespace(string): ${resource}`]: (asked: AccessCheck, text: string) =>
      narrowed(asked, { namespace: text }),
    [`${resource}.name(string): ${resource}`]: (asked: AccessCheck, text: string) =>
      narrowed(asked, { name: text }),
    [`${resource}.fieldSelector(string): ${resource}`]: (asked: AccessCheck, text: string) =>
      narrowed(asked, { fieldSelector: text }),
    [`${resource}.check(string): ${decision}`]: check,
    [`${path}.check(string): ${decision}`]: check,
    [`${decision}.allowed(): bool`]: ({ answer }: Decision) => answer.allowed,
    [`${decision}.reason(): string`]: ({ answer }: Decision) => answer.reason,
    [`${decision}.errored(): bool`]: () => false,
    [`${decision}.error(): string`]: () => "",
  });
}
