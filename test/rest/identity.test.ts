/** Who calls, over REST: tokens, impersonation, and what is open to everyone. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, before, test } from "node:test";
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from "jose";
import { protocols, type RestWorld, restWorld } from "./harness.ts";

const issuer = "https://cluster.example.com";
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const signingKey = privateKey.export({ type: "pkcs8", format: "pem" }) as string;

let world: RestWorld;

before(async () => {
  world = await restWorld({ serviceAccounts: { signingKey, keys: [], issuers: [issuer] } });
});
after(() => world[Symbol.asyncDispose]());

const whoami = {
  method: "POST",
  body: { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" },
};
const reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

test("a token that was asked for proves its service account", async () => {
  const accounts = "/api/v1/namespaces/default/serviceaccounts";
  const account = { metadata: { name: "bot" } };
  assert.equal((await world.ask(accounts, { method: "POST", body: account })).status, 201);
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
  const made = await world.ask(`${accounts}/bot/token`, { method: "POST", body });
  assert.equal(made.status, 201, made.text);
  const { token } = made.json.status;
  const short = { ...body, spec: { expirationSeconds: 1 } };
  const refused = await world.ask(`${accounts}/bot/token`, { method: "POST", body: short });
  assert.equal(refused.status, 422);
  assert.match(refused.text, /may not specify a duration less than 10 minutes/);
  const keys = await world.ask("/openid/v1/jwks");
  assert.equal(keys.headers["content-type"], "application/jwk-set+json");
  const { payload } = await jwtVerify(
    token,
    createLocalJWKSet(JSON.parse(keys.text) as JSONWebKeySet),
  );
  assert.equal(payload.iss, issuer);
  const configuration = await world.ask("/.well-known/openid-configuration");
  assert.equal(configuration.json.jwks_uri, `${issuer}/openid/v1/jwks`);
  for (const protocol of protocols) {
    const headers = { authorization: `Bearer ${token}` };
    const own = await world.ask(reviews, { ...whoami, as: null, headers }, protocol);
    assert.equal(own.status, 201, own.text);
    assert.equal(own.json.status.userInfo.username, "system:serviceaccount:default:bot");
    const secrets = "/api/v1/namespaces/default/secrets";
    assert.equal((await world.ask(secrets, { as: null, headers }, protocol)).status, 403);
    const wrong = { authorization: `Bearer ${token}x` };
    assert.equal((await world.ask(secrets, { as: null, headers: wrong }, protocol)).status, 401);
  }
});

test("impersonation headers are read with both protocols", async () => {
  const headers = {
    "impersonate-user": "jane",
    "impersonate-group": "devs",
    "impersonate-extra-example.com%2ffloor": "3",
  };
  for (const protocol of protocols) {
    const seen = await world.ask(reviews, { ...whoami, headers }, protocol);
    assert.deepEqual(seen.json.status.userInfo, {
      username: "jane",
      groups: ["devs", "system:authenticated"],
      extra: { "example.com/floor": ["3"] },
    });
    const joe = await world.user("joe");
    const refused = await world.ask(reviews, { ...whoami, as: joe, headers }, protocol);
    assert.equal(refused.status, 403);
    assert.match(refused.json.message, /^users "jane" is forbidden: User "joe" cannot impersonate/);
  }
});

test("without a proof there is health and the version, and a Forbidden for the rest", async () => {
  const open = ["/version", "/livez", "/readyz", "/healthz"];
  for (const path of open) {
    assert.equal((await world.ask(path, { as: null })).status, 200, path);
  }
  for (const path of ["/api", "/apis", "/metrics", "/api/v1/pods", "/openapi/v3", "/api/v1/x/y"]) {
    const { status, json } = await world.ask(path, { as: null });
    assert.equal(status, 403, path);
    assert.match(json.message, /User "system:anonymous" cannot/);
  }
});
