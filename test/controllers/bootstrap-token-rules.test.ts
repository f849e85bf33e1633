/** Which secrets sign `cluster-info`, and when they expire, as upstream has it: one row a case. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Secret } from "../../proto/gen/core.ts";
import {
  expiryOf,
  isTokenSecret,
  signingToken,
} from "../../services/controllers/bootstrap-tokens/token-secret.ts";

const now = Date.parse("2026-01-01T00:00:00Z");
const name = "bootstrap-token-abcdef";
const fields = {
  "token-id": "abcdef",
  "token-secret": "0123456789abcdef",
  "usage-bootstrap-signing": "true",
};

const secret = (data: Record<string, string>, metadata = {}, change: Secret = {}): Secret => ({
  type: "bootstrap.kubernetes.io/token",
  metadata: { name, namespace: "kube-system", ...metadata },
  data: Object.fromEntries(
    Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]),
  ),
  ...change,
});
const until = (expiration: string) => ({ ...fields, expiration });
const { "token-id": _, ...nameless } = fields;
const { "token-secret": __, ...toothless } = fields;
const { "usage-bootstrap-signing": ___, ...useless } = fields;

const rows: readonly [string, Secret, signs: boolean][] = [
  ["for signing", secret(fields), true],
  ["for authentication too", secret({ ...fields, "usage-bootstrap-authentication": "true" }), true],
  [
    "for authentication alone",
    secret({ ...useless, "usage-bootstrap-authentication": "true" }),
    false,
  ],
  ["for signing, in capitals", secret({ ...fields, "usage-bootstrap-signing": "TRUE" }), false],
  ["without an id", secret(nameless), false],
  ["without a secret", secret(toothless), false],
  ["with an empty secret", secret({ ...fields, "token-secret": "" }), false],
  ["with an odd secret", secret({ ...fields, "token-secret": "odd" }), true],
  ["of another name", secret(fields, { name: "bootstrap-token-zzzzzz" }), false],
  ["of no token's name", secret(fields, { name: "abcdef" }), false],
  [
    "of a name that is too long",
    secret({ ...fields, "token-id": "abcdefg" }, { name: "bootstrap-token-abcdefg" }),
    false,
  ],
  ["elsewhere", secret(fields, { namespace: "default" }), false],
  ["of another type", secret(fields, {}, { type: "Opaque" }), false],
  ["that lives", secret(until("2026-01-01T00:00:01Z")), true],
  ["that has just expired", secret(until("2026-01-01T00:00:00Z")), false],
  ["that ends in another zone", secret(until("2026-01-01T01:00:00+00:30")), true],
  ["with an end that is no time", secret(until("tomorrow")), false],
];
for (const [title, given, signs] of rows) {
  test(`a token ${title} ${signs ? "signs" : "does not sign"}`, () => {
    const expected = signs ? "abcdef" : undefined;
    assert.equal(signingToken(given, now)?.id, expected);
  });
}

const ends: readonly [string, Secret, number | undefined][] = [
  ["without an end", secret(fields), undefined],
  ["with an end", secret(until("2026-01-01T00:01:00Z")), now + 60_000],
  ["with an end that is no time, long ago", secret(until("tomorrow")), 0],
];
for (const [title, given, end] of ends) {
  test(`a token ${title}`, () => assert.equal(expiryOf(given), end));
}

test("only secrets of the type and in the namespace of tokens are removed", () => {
  assert.equal(isTokenSecret(secret(fields)), true);
  assert.equal(isTokenSecret(secret(fields, {}, { type: "Opaque" })), false);
  assert.equal(isTokenSecret(secret(fields, { namespace: "default" })), false);
});
