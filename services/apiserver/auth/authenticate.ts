/** The chain that finds out who sends a request. */
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { unauthenticated } from "../errors.ts";
import type { User } from "../request-info.ts";

/** The proofs that came with a request, whatever the wire. */
export interface Credentials {
  /** The subject of the verified client certificate. */
  readonly certificate:
    | { readonly commonName: string; readonly organizations: readonly string[] }
    | undefined;
  /** Every value of a header or metadata key, which is given in lower case. */
  header(name: string): readonly string[];
  /** The names of the headers that begin so, in lower case. */
  namesWith(prefix: string): readonly string[];
}

/**
 * One way to prove an identity. Called once per request, in the order of the chain, before the
 * request's body is decoded; must be quick and must not change anything. Answers undefined when the
 * request carries no proof of this kind; throws Unauthenticated when it carries a wrong one.
 */
export interface Authenticator {
  readonly name: string;
  authenticate(credentials: Credentials): User | undefined;
}

/**
 * A proof names an object that this master's cache does not have: it may be newer than the cache.
 * Who gets this error may wait until the cache has caught up, and try again.
 */
export class NotSeenYet extends StatusError {
  constructor(message: string) {
    super(Code.unauthenticated, message, { reason: "Unauthorized" });
  }
}

const authenticatedGroup = "system:authenticated";

const unauthenticatedGroup = "system:unauthenticated";

export const anonymous: User = { name: "system:anonymous", groups: [unauthenticatedGroup] };

/** For what anyone may ask: a caller without any proof is anonymous. Throws for a wrong proof. */
export function identify(chain: readonly Authenticator[], credentials: Credentials): User {
  for (const authenticator of chain) {
    const user = authenticator.authenticate(credentials);
    if (user !== undefined) return withAuthenticatedGroup(user);
  }
  return anonymous;
}

/** A user whose identity is proven is in one more group. */
export function withAuthenticatedGroup(user: User): User {
  const { groups } = user;
  if (groups.includes(authenticatedGroup) || groups.includes(unauthenticatedGroup)) return user;
  return { ...user, groups: [...user.groups, authenticatedGroup] };
}

/** The first authenticator that finds its proof decides. Throws Unauthenticated. */
export function authenticate(chain: readonly Authenticator[], credentials: Credentials): User {
  const user = identify(chain, credentials);
  if (!user.groups.includes(unauthenticatedGroup)) return user;
  throw unauthenticated(
    "Unauthorized: present a client certificate signed by the cluster's CA " +
      "(--client-certificate and --client-key)",
  );
}
