/** Requests that a user makes in another's name (upstream `endpoints/filters/impersonation`). */
import { badRequest } from "../errors.ts";
import type { RequestInfo, User } from "../request-info.ts";
import {
  type Authenticator,
  anonymous,
  type Credentials,
  identify,
  withAuthenticatedGroup,
} from "./authenticate.ts";
import { type Authorizer, authorize } from "./authorize.ts";
import { extraOf } from "./extra-headers.ts";

const headers = {
  user: "impersonate-user",
  group: "impersonate-group",
  uid: "impersonate-uid",
  extra: "impersonate-extra-",
} as const;

const groupsMax = 64;
const accountPrefix = "system:serviceaccount:";
const accountsGroup = "system:serviceaccounts";

/**
 * The chain, and after it the user whom the headers `Impersonate-*` name instead, if the caller may
 * `impersonate` each thing that they claim. Throws Forbidden otherwise.
 */
export function impersonating(
  chain: readonly Authenticator[],
  authorizers: readonly Authorizer[],
): Authenticator {
  return {
    name: "impersonation",
    authenticate(credentials) {
      const caller = identify(chain, credentials);
      const wanted = impersonated(credentials);
      if (wanted === undefined) return caller === anonymous ? undefined : caller;
      for (const claim of claimsOf(wanted)) {
        authorize(authorizers, { ...claim, user: caller, verb: "impersonate" });
      }
      const impersonatedBy = withAuthenticatedGroup(caller);
      return { ...withImpliedGroups(wanted), impersonatedBy };
    },
  };
}

function impersonated(credentials: Credentials): User | undefined {
  const name = credentials.header(headers.user)[0] ?? "";
  const groups = credentials.header(headers.group);
  const uid = credentials.header(headers.uid)[0];
  const extra = extraOf(credentials, headers.extra);
  if (name === "") {
    const claims = groups.length + Object.keys(extra).length;
    if (claims === 0 && uid === undefined) return undefined;
    throw badRequest("groups, extra or a uid are requested without impersonating a user");
  }
  if (groups.length > groupsMax) {
    throw badRequest(`${groups.length} headers ${headers.group}, at most ${groupsMax} are taken`);
  }
  return { name, groups, uid, extra };
}

type Claim = Omit<RequestInfo, "user" | "verb">;

/** What the caller must be allowed to claim, one request each. */
function claimsOf({ name, groups, uid, extra = {} }: User): Claim[] {
  const none = { group: "", subresource: "", namespace: "", fieldSelector: "", path: "" };
  const account = accountOf(name);
  const core = (resource: string, of: string): Claim => ({ ...none, resource, name: of });
  const known = (resource: string, of: string, subresource = ""): Claim => {
    return { ...none, group: "authentication.k8s.io", resource, subresource, name: of };
  };
  return [
    account === undefined
      ? core("users", name)
      : { ...core("serviceaccounts", account.name), namespace: account.namespace },
    ...groups.map((group) => core("groups", group)),
    ...(uid === undefined ? [] : [known("uids", uid)]),
    ...Object.entries(extra).flatMap(([key, values]) =>
      values.map((value) => known("userextras", value, key)),
    ),
  ];
}

/** Without groups of its own a service account gets those that it has by its name. */
function withImpliedGroups(user: User): User {
  const { name, groups } = user;
  if (name === anonymous.name) return { ...user, groups: [...groups, ...anonymous.groups] };
  const account = groups.length === 0 ? accountOf(name) : undefined;
  if (account === undefined) return user;
  return { ...user, groups: [accountsGroup, `${accountsGroup}:${account.namespace}`] };
}

function accountOf(
  user: string,
): { readonly namespace: string; readonly name: string } | undefined {
  if (!user.startsWith(accountPrefix)) return undefined;
  const [namespace, name, ...rest] = user.slice(accountPrefix.length).split(":");
  if (!namespace || !name || rest.length > 0) return undefined;
  return { namespace, name };
}
