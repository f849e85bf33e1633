/** Bearer tokens that others give out: of machines that join, and of OpenID Connect providers. */
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { authenticateToken } from "../../services/apiserver/auth/bearer.ts";
import { signJwt } from "../../services/apiserver/auth/jwt.ts";
import { oidcAuthenticator } from "../../services/apiserver/auth/oidc/authenticator.ts";
import { httpsJson, KeySource } from "../../services/apiserver/auth/oidc/key-source.ts";
import { type OidcOptions, oidcOptions } from "../../services/apiserver/auth/oidc/options.ts";
import { createAuthority } from "../../services/apiserver/mod.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { eventually } from "../patience.ts";
import { make, quietLog, world } from "./harness.ts";

test("a bootstrap token is whoever its secret says", async () => {
  const time = { millis: Date.parse("2026-01-01T00:00:00Z") };
  await using w = await world({ now: () => time.millis });
  const { backend } = w;
  const put = (id: string, data: Record<string, string>) =>
    make(backend, {
      apiVersion: "v1",
      kind: "Secret",
      type: "bootstrap.kubernetes.io/token",
      metadata: { name: `bootstrap-token-${id}`, namespace: "kube-system" },
      stringData: { "token-id": id, "token-secret": "0123456789abcdef", ...data },
    } as Document);
  const usage = { "usage-bootstrap-authentication": "true" };
  await put("aaaaaa", {
    ...usage,
    expiration: "2026-01-01T01:00:00Z",
    "auth-extra-groups": "system:bootstrappers:workers,system:bootstrappers:kubeadm:default",
  });
  await put("bbbbbb", {});
  await put("cccccc", { ...usage, "auth-extra-groups": "system:masters" });
  await backend.cache.waitFor(await backend.store.readRevision());
  const known = (token: string) => authenticateToken(backend.tokens.kinds, token, []).user;
  assert.deepEqual(known("aaaaaa.0123456789abcdef"), {
    name: "system:bootstrap:aaaaaa",
    groups: [
      "system:bootstrappers",
      "system:bootstrappers:workers",
      "system:bootstrappers:kubeadm:default",
    ],
  });
  assert.throws(() => known("aaaaaa.fedcba9876543210"), /it is not known/);
  assert.throws(() => known("dddddd.0123456789abcdef"), /it is not known/);
  assert.throws(() => known("bbbbbb.0123456789abcdef"), /it is not for authentication/);
  assert.throws(() => known("cccccc.0123456789abcdef"), /its group "system:masters" is none of/);
  time.millis += 3_600_000;
  assert.throws(() => known("aaaaaa.0123456789abcdef"), /it has expired/);
});

interface ProviderKey {
  readonly id: string;
  readonly algorithm: "ES256" | "RS256";
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

function providerKey(id: string): ProviderKey {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { id, algorithm: "ES256", ...pair };
}

const jwkOf = ({ id, algorithm, publicKey }: ProviderKey) => ({
  ...publicKey.export({ format: "jwk" }),
  ...{ kid: id, alg: algorithm, use: "sig" },
});

/** A provider on loopback with a certificate of its own; `keys` may change. */
async function provider(keys: ProviderKey[]) {
  const directory = await mkdtemp(join(tmpdir(), "trireme-oidc-"));
  const authority = await createAuthority(directory);
  const pair = await authority.issue({ commonName: "p", hosts: ["127.0.0.1"], use: "server" });
  const asked: string[] = [];
  const server = createServer({ key: pair.key, cert: pair.cert }, (request, response) => {
    asked.push(request.url ?? "");
    const configuration = { issuer, jwks_uri: `${issuer}/keys` };
    const found = request.url === "/keys" ? { keys: keys.map(jwkOf) } : configuration;
    response.end(JSON.stringify(found));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    ca: authority.cert,
    asked,
    async close() {
      await new Promise((resolve) => server.close(resolve));
      await rm(directory, { recursive: true });
    },
  };
}

test("an ID token is taken when the provider's key proves it", async () => {
  const first = providerKey("one");
  const keys = [first];
  const served = await provider(keys);
  const { issuer, ca } = served;
  let skip = 0;
  const clock = { ...productionClock, monotonicMillis: () => performance.now() + skip };
  const source = new KeySource({ issuer, fetch: httpsJson(ca), clock, log: quietLog });
  const options: OidcOptions = { issuer, clientId: "trireme", groupsClaim: "groups" };
  const now = Date.now();
  const authenticator = oidcAuthenticator(options, source, () => now);
  const claims = {
    iss: issuer,
    aud: ["trireme", "other"],
    sub: "jane",
    exp: Math.floor(now / 1000) + 60,
    groups: ["devs"],
  };
  const taken = (changed: object = {}, key = first, of = authenticator) =>
    of.authenticate(signJwt({ ...claims, ...changed }, key), [])?.user;
  assert.throws(() => taken(), /the keys of its issuer are not known yet/);
  await source.start();
  assert.deepEqual(taken(), { name: `${issuer}#jane`, groups: ["devs"] });
  assert.equal(taken({ iss: "https://elsewhere" }), undefined);
  const wrong: [object, RegExp][] = [
    [{ aud: "other" }, /it is not for "trireme"/],
    [{ exp: Math.floor(now / 1000) }, /it has expired/],
    [{ nbf: Math.floor(now / 1000) + 600 }, /it is not valid yet/],
    [{ sub: undefined }, /it has no claim sub/],
    [{ groups: [7] }, /its claim groups is no list of texts/],
  ];
  for (const [changed, why] of wrong) assert.throws(() => taken(changed), why);
  const byEmail = { ...options, usernameClaim: "email", groupsPrefix: "oidc:" };
  const email = oidcAuthenticator(byEmail, source, () => now);
  assert.deepEqual(taken({ email: "j@x" }, first, email), { name: "j@x", groups: ["oidc:devs"] });
  const unverified = { email: "j@x", email_verified: false };
  assert.throws(() => taken(unverified, first, email), /its email is not verified/);
  const strict = { ...options, usernamePrefix: "-", requiredClaims: { hd: "x" } };
  const demanding = oidcAuthenticator(strict, source, () => now);
  assert.equal(taken({ hd: "x" }, first, demanding)?.name, "jane");
  assert.throws(() => taken({}, first, demanding), /its claim hd is not "x"/);

  // The provider signs with a new key: the first token with it makes the keys be read anew.
  const second = providerKey("two");
  keys.push(second);
  assert.throws(() => taken({}, second), /its signature/);
  assert.equal(served.asked.length, 2, "not more often than every half minute");
  skip = 31_000;
  assert.throws(() => taken({}, second), /its signature/);
  await eventually("the new key", () => source.keyOf("two") !== undefined);
  assert.equal(taken({}, second)?.name, `${issuer}#jane`);
  assert.throws(() => taken({}, { ...second, id: "one" }), /its signature/);
  source.close();
  await served.close();
});

test("a provider that answers amiss leaves its tokens refused", async () => {
  const answers: [unknown, RegExp][] = [
    [{ issuer: "https://evil", jwks_uri: "https://x/keys" }, /names another issuer/],
    [{ issuer: "https://p", jwks_uri: "http://x/keys" }, /no URL that begins with https/],
    [{ issuer: "https://p", jwks_uri: "https://p/keys", keys: [] }, /no key for ES256 or RS256/],
    ["text", /names another issuer: undefined/],
  ];
  for (const [answer, why] of answers) {
    const said: string[] = [];
    const warn = (_text: string, fields?: object) => said.push(JSON.stringify(fields));
    const source = new KeySource({
      issuer: "https://p",
      fetch: () => Promise.resolve(answer),
      clock: productionClock,
      log: { ...quietLog, warn },
    });
    await source.start();
    assert.equal(source.ready, false);
    assert.match(said.join(), why);
    source.close();
  }
});

test("flags of a provider are checked at the start", () => {
  assert.equal(oidcOptions({}), undefined);
  const rows: [Record<string, string>, RegExp][] = [
    [{ "oidc-client-id": "x" }, /are given together or not at all/],
    [{ "oidc-client-id": "x", "oidc-issuer-url": "http://p" }, /is no URL that begins with https/],
    [
      { "oidc-client-id": "x", "oidc-issuer-url": "https://p", "oidc-required-claim": "x" },
      /"x" is not claim=value/,
    ],
  ];
  for (const [flags, why] of rows) assert.throws(() => oidcOptions(flags), why);
});
