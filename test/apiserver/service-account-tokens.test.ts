import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import type { TokenRequestSpec } from "../../proto/gen/core.ts";
import { authenticateToken } from "../../services/apiserver/auth/bearer.ts";
import { signJwt } from "../../services/apiserver/auth/jwt.ts";
import { signingKeyOf } from "../../services/apiserver/auth/service-accounts/keys.ts";
import { ServiceAccountTokens } from "../../services/apiserver/auth/service-accounts/tokens.ts";
import { ensureServiceAccountKey } from "../../services/apiserver/pki/mod.ts";
import { serviceAccountOptions } from "../../services/apiserver/service-account-flags.ts";
import { type Backend, remove } from "../../services/apiserver/verbs/mod.ts";
import { createToken } from "../../services/apiserver/verbs/tokens.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { adminCall, callAs, fails, kind, make, pod, world } from "./harness.ts";

function newKey(type: "ec" | "rsa" = "ec"): string {
  const { privateKey } =
    type === "ec"
      ? generateKeyPairSync("ec", { namedCurve: "P-256" })
      : generateKeyPairSync("rsa", { modulusLength: 2_048 });
  return privateKey.export({ type: "pkcs8", format: "pem" }) as string;
}

const issuer = "https://cluster.example.com";
const key = newKey();
const accounts = kind("serviceaccounts");

interface Time {
  millis: number;
}

async function cluster(time: Time = { millis: Date.now() }, rest: object = {}) {
  const w = await world({
    now: () => time.millis,
    serviceAccounts: { signingKey: key, keys: [], issuers: [issuer], ...rest },
  });
  await make(w.backend, account("bot"));
  await shown(w.backend);
  return w;
}

function account(name: string): Document {
  return { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace: "default" } };
}

async function shown(backend: Backend): Promise<void> {
  await backend.cache.waitFor(await backend.store.readRevision());
}

async function tokenOf(backend: Backend, spec: TokenRequestSpec = {}, call = adminCall()) {
  const metadata = { name: "bot", namespace: "default" };
  const made = await createToken(backend, call, accounts, { metadata, spec });
  return made.status?.token ?? "";
}

function known(backend: Backend, token: string, audiences = backend.tokens.audiences) {
  return authenticateToken(backend.tokens.kinds, token, audiences);
}

test("a token proves who a service account is, to the API and to others", async () => {
  const time = { millis: Date.now() };
  await using w = await cluster(time);
  const { backend } = w;
  const metadata = { name: "bot", namespace: "default" };
  const made = await createToken(backend, adminCall(), accounts, { metadata });
  assert.equal(made.spec?.expirationSeconds, 3_600);
  assert.deepEqual(made.spec?.audiences, [issuer]);
  const nowSeconds = Math.floor(time.millis / 1000);
  assert.equal(Date.parse(made.status?.expirationTimestamp ?? ""), 1000 * (nowSeconds + 3_600));
  const token = made.status?.token ?? "";
  const identity = known(backend, token);
  const uid = backend.cache.of(accounts).get("/registry/serviceaccounts/default/bot")?.document
    .metadata?.uid;
  const keySet = createLocalJWKSet(backend.serviceAccountTokens?.keySet as JSONWebKeySet);
  const { payload } = await jwtVerify(token, keySet, { issuer, audience: issuer });
  assert.deepEqual(payload["kubernetes.io"], {
    namespace: "default",
    serviceaccount: { name: "bot", uid },
  });
  assert.equal(payload.sub, "system:serviceaccount:default:bot");
  assert.equal((payload.exp ?? 0) - (payload.iat ?? 0), 3_600);
  assert.deepEqual(identity.user, {
    name: "system:serviceaccount:default:bot",
    uid,
    groups: ["system:serviceaccounts", "system:serviceaccounts:default"],
    extra: { "authentication.kubernetes.io/credential-id": [`JTI=${payload.jti}`] },
  });
  assert.deepEqual(backend.serviceAccountTokens?.configuration, {
    issuer,
    jwks_uri: `${issuer}/openid/v1/jwks`,
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["ES256"],
  });
});

test("a token ends with its time, its audience, its account and what it is bound to", async () => {
  const time = { millis: Date.now() };
  await using w = await cluster(time);
  const { backend } = w;
  const invalid = (token: string, why: RegExp, audiences?: string[]) =>
    assert.throws(() => known(backend, token, audiences), why);
  await make(backend, {
    ...pod("p"),
    spec: { ...(pod("p")["spec"] as object), serviceAccountName: "bot" },
  });
  await shown(backend);
  const plain = await tokenOf(backend);
  const bound = await tokenOf(backend, {
    boundObjectRef: { apiVersion: "v1", kind: "Pod", name: "p" },
  });
  const other = await tokenOf(backend, { audiences: ["vault"] });
  const { extra } = known(backend, bound).user;
  assert.deepEqual(extra?.["authentication.kubernetes.io/pod-name"], ["p"]);
  invalid(other, /its audiences \["vault"\] are none of/);
  assert.deepEqual(known(backend, other, ["x", "vault"]).audiences, ["vault"]);
  const [head = "", body = "", signature = ""] = plain.split(".");
  const forged = Buffer.from(
    Buffer.from(body, "base64url").toString("utf8").replace(":bot", ":boss"),
  ).toString("base64url");
  invalid(`${head}.${forged}.${signature}`, /its signature/);
  const none = Buffer.from('{"alg":"none"}').toString("base64url");
  invalid(`${none}.${body}.x`, /its signature/);
  invalid("no.such.token", /not known/);
  const foreign = signingKeyOf("x", newKey());
  invalid(signJwt({ iss: issuer, exp: 9e9, aud: [issuer] }, foreign), /its signature/);
  invalid(signJwt({ iss: "https://other" }, foreign), /not known/);

  await remove(backend, adminCall(), kind("pods"), {
    ...{ namespace: "default", name: "p" },
    gracePeriodSeconds: 0,
  });
  await shown(backend);
  invalid(bound, /Pod p is gone/);
  known(backend, plain);
  time.millis += 3_599_000;
  known(backend, plain);
  time.millis += 2_000;
  invalid(plain, /it has expired/);
  const fresh = await tokenOf(backend);
  await remove(backend, adminCall(), accounts, { namespace: "default", name: "bot" });
  await shown(backend);
  invalid(fresh, /ServiceAccount bot is gone/);
  await make(backend, account("bot"));
  await shown(backend);
  invalid(fresh, /ServiceAccount bot is another one now/);
});

test("requests for tokens are held to upstream's rules", async () => {
  await using w = await cluster();
  const { backend } = w;
  await make(backend, pod("p"));
  const ref = (of: string, name: string, uid?: string) => ({
    boundObjectRef: { apiVersion: "v1", kind: of, name, uid },
  });
  const rows: [TokenRequestSpec, Parameters<typeof fails>[1], RegExp][] = [
    [{ expirationSeconds: 599 }, "invalidArgument", /may not specify a duration less than 10 min/],
    [{ expirationSeconds: 2 ** 33 }, "invalidArgument", /a duration larger than 2\^32 seconds/],
    [ref("Pod", "none"), "notFound", /pods "none" not found/],
    [ref("Pod", "p"), "invalidArgument", /pod running with different serviceaccount name/],
    [ref("Node", "n"), "notFound", /nodes "n" not found/],
    [ref("ConfigMap", "c"), "invalidArgument", /to object of type \/v1, Kind=ConfigMap/],
  ];
  for (const [spec, code, message] of rows) await fails(tokenOf(backend, spec), code, message);
  const gone = { metadata: { name: "gone", namespace: "default" } };
  await fails(
    createToken(backend, adminCall(), accounts, gone),
    "notFound",
    'serviceaccounts "gone" not found',
  );
  await fails(
    tokenOf(backend, {}, callAs("joe")),
    "permissionDenied",
    /cannot create resource "serviceaccounts\/token" in API group ""/,
  );
  const bot = { ...pod("q"), spec: { ...(pod("q")["spec"] as object), serviceAccountName: "bot" } };
  await make(backend, bot);
  await fails(tokenOf(backend, ref("Pod", "q", "other")), "aborted", /the UID in the bound object/);
});

test("a limit cuts longer requests, and a kubelet's token lives on", async () => {
  await using w = await cluster({ millis: Date.now() }, { maxExpirationSeconds: 7_200 });
  const metadata = { name: "bot", namespace: "default" };
  const made = await createToken(w.backend, adminCall(), accounts, {
    metadata,
    spec: { expirationSeconds: 100_000 },
  });
  assert.equal(made.spec?.expirationSeconds, 7_200);
  await using free = await cluster();
  const token = await tokenOf(free.backend, { expirationSeconds: 3_607 });
  const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
  assert.equal(claims.exp - claims.iat, 365 * 86_400);
  assert.equal(claims["kubernetes.io"].warnafter - claims.iat, 3_607);
});

test("an older key still proves tokens, of both kinds of keys", async () => {
  const old = newKey("rsa");
  await using first = await cluster(undefined, { signingKey: old });
  const token = await tokenOf(first.backend);
  const publicKey = createPublicKey(createPrivateKey(old)).export({ type: "spki", format: "pem" });
  await using w = await world({
    store: first.store,
    serviceAccounts: { signingKey: key, keys: [publicKey as string], issuers: [issuer] },
  });
  assert.equal(known(w.backend, token).user.name, "system:serviceaccount:default:bot");
  const { keys } = (w.backend.serviceAccountTokens?.keySet ?? {}) as { keys: { alg: string }[] };
  assert.deepEqual(
    keys.map(({ alg }) => alg),
    ["ES256", "RS256"],
  );
});

test("a token in a secret is valid while the secret holds it", async () => {
  await using w = await cluster();
  const { backend } = w;
  const uid = backend.cache.of(accounts).get("/registry/serviceaccounts/default/bot")?.document
    .metadata?.uid;
  const prefix = "kubernetes/serviceaccount";
  const token = signJwt(
    {
      iss: prefix,
      sub: "system:serviceaccount:default:bot",
      [`${prefix}/namespace`]: "default",
      [`${prefix}/secret.name`]: "s",
      [`${prefix}/service-account.name`]: "bot",
      [`${prefix}/service-account.uid`]: uid,
    },
    signingKeyOf("x", key),
  );
  assert.throws(() => known(backend, token), /its secret is gone/);
  await make(backend, {
    apiVersion: "v1",
    kind: "Secret",
    type: "kubernetes.io/service-account-token",
    metadata: {
      name: "s",
      namespace: "default",
      annotations: { "kubernetes.io/service-account.name": "bot" },
    },
    data: { token: Buffer.from(token).toString("base64") },
  } as Document);
  await shown(backend);
  assert.equal(known(backend, token).user.uid, uid);
  assert.throws(() => known(backend, token, ["vault"]), /it is not for \["vault"\]/);
  await remove(backend, adminCall(), kind("secrets"), { namespace: "default", name: "s" });
  await shown(backend);
  assert.throws(() => known(backend, token), /its secret is gone/);
});

test("the key is made once, private, and kept", async () => {
  const directory = await mkdtemp(join(tmpdir(), "trireme-sa-"));
  try {
    const first = await ensureServiceAccountKey(directory);
    const pem = await readFile(first.privateKey, "utf8");
    assert.equal((await stat(first.privateKey)).mode & 0o777, 0o600);
    await ensureServiceAccountKey(directory);
    assert.equal(await readFile(first.privateKey, "utf8"), pem);
    const options = await serviceAccountOptions({
      "service-account-signing-key-file": first.privateKey,
      "service-account-key-file": first.publicKey,
      "service-account-issuer": `${issuer},https://old.example.com`,
      "service-account-max-token-expiration": "1h30m",
    });
    assert.ok(options);
    assert.equal(options.maxExpirationSeconds, 5_400);
    const tokens = new ServiceAccountTokens(options);
    assert.equal(tokens.keys.length, 1, "the signing key and its public half are one");
    assert.deepEqual(tokens.audiences, [issuer, "https://old.example.com"]);
    await writeFile(first.privateKey, "no key");
    await assert.rejects(ensureServiceAccountKey(directory), /sa.key holds no private key in PEM/);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("flags about tokens are checked at the start", async () => {
  assert.equal(await serviceAccountOptions({ "service-account-issuer": issuer }), undefined);
  const flags = { "service-account-issuer": issuer, "service-account-key-file": "/nowhere" };
  await assert.rejects(serviceAccountOptions(flags), /\/nowhere/);
  const small = generateKeyPairSync("rsa", { modulusLength: 1_024 }).privateKey;
  const weak = small.export({ type: "pkcs8", format: "pem" }) as string;
  const refused: [string[], RegExp][] = [
    [["no key"], /--service-account-key-file: holds no key in PEM/],
    [[weak], /neither ECDSA P-256 nor RSA of 2048 bits/],
  ];
  for (const [keys, why] of refused) {
    assert.throws(() => new ServiceAccountTokens({ keys, issuers: [issuer] }), why);
  }
  const times = { ...flags, "service-account-key-file": import.meta.filename };
  for (const time of ["10m", "1x", "h"]) {
    await assert.rejects(
      serviceAccountOptions({ ...times, "service-account-max-token-expiration": time }),
      /--service-account-max-token-expiration: .* (must be 1h to 2\^32 seconds|is no duration)/,
    );
  }
});
