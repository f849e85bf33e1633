import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Authenticator,
  anonymous,
  identify,
} from "../../services/apiserver/auth/authenticate.ts";
import { frontProxyAuthenticator } from "../../services/apiserver/auth/front-proxy.ts";
import { impersonating } from "../../services/apiserver/auth/impersonation.ts";
import type { User } from "../../services/apiserver/request-info.ts";
import type { Backend } from "../../services/apiserver/verbs/mod.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { make, world } from "./harness.ts";

type Headers = Readonly<Record<string, readonly string[]>>;

function credentials(headers: Headers, commonName?: string) {
  return {
    certificate: commonName === undefined ? undefined : { commonName, organizations: [] },
    header: (name: string) => headers[name] ?? [],
    namesWith: (prefix: string) => Object.keys(headers).filter((name) => name.startsWith(prefix)),
  };
}

/** As whom a caller's request is taken. */
function taken(backend: Backend, caller: User | undefined, headers: Headers): User {
  const known: Authenticator = { name: "known", authenticate: () => caller };
  const chain = [impersonating([known], backend.authorizers)];
  const { impersonatedBy: by, ...user } = identify(chain, credentials(headers));
  const speaksForAnother = caller !== undefined && headers["impersonate-user"] !== undefined;
  assert.equal(by?.name, speaksForAnother ? caller.name : undefined);
  return user;
}

const masters: User = { name: "root", groups: ["system:masters"] };

test("a caller who may is taken for the user it names", async () => {
  await using w = await world();
  const rows: [Headers, User][] = [
    [
      { "impersonate-user": ["jane"] },
      { name: "jane", groups: ["system:authenticated"], uid: undefined, extra: {} },
    ],
    [
      {
        "impersonate-user": ["jane"],
        "impersonate-group": ["a", "b"],
        "impersonate-uid": ["7"],
        "impersonate-extra-example.com%2ffloor": ["3", "4"],
      },
      {
        name: "jane",
        groups: ["a", "b", "system:authenticated"],
        uid: "7",
        extra: { "example.com/floor": ["3", "4"] },
      },
    ],
    [
      { "impersonate-user": ["system:serviceaccount:ns:bot"] },
      {
        name: "system:serviceaccount:ns:bot",
        groups: ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"],
        uid: undefined,
        extra: {},
      },
    ],
    [
      { "impersonate-user": ["system:anonymous"] },
      { name: "system:anonymous", groups: ["system:unauthenticated"], uid: undefined, extra: {} },
    ],
  ];
  for (const [headers, user] of rows) assert.deepEqual(taken(w.backend, masters, headers), user);
  assert.equal(taken(w.backend, masters, {}).name, "root");
  assert.deepEqual(taken(w.backend, undefined, {}), anonymous);
});

test("each claim needs the right to it", async () => {
  await using w = await world();
  const rule = (resources: string[], apiGroups: string[], resourceNames: string[]) => {
    return { verbs: ["impersonate"], apiGroups, resources, resourceNames };
  };
  for (const document of [
    {
      kind: "ClusterRole",
      metadata: { name: "actor" },
      rules: [
        rule(["users", "serviceaccounts"], [""], ["jane", "bot"]),
        rule(["groups"], [""], ["devs"]),
        rule(["userextras/floor"], ["authentication.k8s.io"], ["3"]),
      ],
    },
    {
      kind: "ClusterRoleBinding",
      metadata: { name: "actor" },
      subjects: [{ kind: "User", name: "joe" }],
      roleRef: { kind: "ClusterRole", name: "actor" },
    },
  ]) {
    await make(w.backend, {
      apiVersion: "rbac.authorization.k8s.io/v1",
      ...document,
    } as Document);
  }
  await w.backend.cache.waitFor(await w.backend.store.readRevision());
  const joe: User = { name: "joe", groups: [] };
  const jane = { "impersonate-user": ["jane"] };
  const allowed: Headers[] = [
    jane,
    { ...jane, "impersonate-group": ["devs"], "impersonate-extra-floor": ["3"] },
    { "impersonate-user": ["system:serviceaccount:x:bot"] },
  ];
  for (const headers of allowed) taken(w.backend, joe, headers);
  const users = 'cannot impersonate resource "users" in API group "" at the cluster scope';
  const refused: [User | undefined, Headers, string | RegExp][] = [
    [joe, { "impersonate-user": ["root"] }, `users "root" is forbidden: User "joe" ${users}`],
    [
      joe,
      { ...jane, "impersonate-group": ["system:masters"] },
      /groups "system:masters" is forbidden: .*cannot impersonate resource "groups"/,
    ],
    [joe, { ...jane, "impersonate-extra-floor": ["4"] }, /resource "userextras\/floor"/],
    [joe, { ...jane, "impersonate-uid": ["1"] }, /resource "uids" in API group "authentication/],
    [
      joe,
      { "impersonate-user": ["system:serviceaccount:x:other"] },
      /cannot impersonate resource "serviceaccounts" in API group "" in the namespace "x"/,
    ],
    [undefined, jane, `users "jane" is forbidden: User "system:anonymous" ${users}`],
    [masters, { "impersonate-group": ["devs"] }, /without impersonating a user/],
    [masters, { "impersonate-uid": ["7"] }, /without impersonating a user/],
    [masters, { "impersonate-extra-floor": ["3"] }, /without impersonating a user/],
  ];
  for (const [caller, headers, message] of refused) {
    const check = () => taken(w.backend, caller, headers);
    assert.throws(check, typeof message === "string" ? { message } : message);
  }
});

test("a front proxy passes on all that is known of a user", () => {
  const headers = {
    "x-remote-user": ["jane"],
    "x-remote-group": ["devs"],
    "x-remote-uid": ["7"],
    "x-remote-extra-floor": ["3"],
  };
  const chain = [frontProxyAuthenticator(new Set(["proxy"]))];
  assert.deepEqual(identify(chain, credentials(headers, "proxy")), {
    name: "jane",
    uid: "7",
    groups: ["devs", "system:authenticated"],
    extra: { floor: ["3"] },
  });
  assert.equal(identify(chain, credentials(headers, "somebody")), anonymous);
});
