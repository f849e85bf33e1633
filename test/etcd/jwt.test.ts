/** JSON Web Tokens: every way of signing, what is refused, and when a token ends. */
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { decodeJwt, decodeProtectedHeader, SignJWT } from "jose";
import { readAuthToken } from "../../ha/etcd/mod.ts";
import { b, call, type Face, openFace, put, refused } from "./support.ts";

const old = "etcdserver: revision of auth store is old";
const invalid = "etcdserver: invalid auth token";

interface Pair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const rsa: Pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
const otherRsa: Pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
const smallRsa: Pair = generateKeyPairSync("rsa", { modulusLength: 1024 });
const ed25519: Pair = generateKeyPairSync("ed25519");
const ec = (namedCurve: string): Pair => generateKeyPairSync("ec", { namedCurve });
const p256 = ec("P-256");
const pairs: Readonly<Record<string, Pair>> = {
  ...{ RS256: rsa, RS384: rsa, RS512: rsa, PS256: rsa, PS384: rsa, PS512: rsa },
  ...{ ES256: p256, ES384: ec("P-384"), ES512: ec("P-521"), EdDSA: ed25519 },
};

describe("JWT", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "trireme-jwt-"));
    await writeFile(
      join(folder, "hmac"),
      "a key of HMAC that is long enough for every one of them",
    );
    await writeFile(join(folder, "empty"), "");
    const write = async (name: string, { privateKey, publicKey }: Pair) => {
      await writeFile(
        join(folder, `${name}.key`),
        privateKey.export({ type: "pkcs8", format: "pem" }),
      );
      await writeFile(
        join(folder, `${name}.pub`),
        publicKey.export({ type: "spki", format: "pem" }),
      );
    };
    for (const [name, pair] of Object.entries(pairs)) await write(name, pair);
    await write("other", otherRsa);
    await write("small", smallRsa);
  });
  after(() => rm(folder, { recursive: true }));

  const file = (name: string) => join(folder, name);

  /** A face with authentication on. */
  async function openWith(text: string, wallMillis = () => Date.now()): Promise<Face> {
    const face = await openFace({ jwt: await readAuthToken(text), wallMillis });
    const { auth } = face;
    await call(auth, auth.userAdd, { name: "root", password: "r" });
    await call(auth, auth.roleAdd, { name: "root" });
    await call(auth, auth.userGrantRole, { user: "root", role: "root" });
    await call(auth, auth.authEnable, {});
    return face;
  }

  const login = async ({ auth }: Face) => {
    const { token = "" } = await call(auth, auth.authenticate, { name: "root", password: "r" });
    return { token };
  };

  for (const method of [...Object.keys(pairs), "HS256", "HS384", "HS512"]) {
    test(`${method}: a token is given out, has etcd's claims and opens`, async () => {
      const keys = method.startsWith("HS")
        ? `priv-key=${file("hmac")}`
        : `pub-key=${file(`${method}.pub`)},priv-key=${file(`${method}.key`)}`;
      const face = await openWith(`jwt,sign-method=${method},${keys},ttl=1m`);
      try {
        const { token } = await login(face);
        assert.equal(decodeProtectedHeader(token).alg, method);
        const { username, revision, exp = 0 } = decodeJwt(token);
        const { authRevision } = await call(face.auth, face.auth.authStatus, {}, { token });
        assert.equal(username, "root");
        assert.equal(revision, Number(authRevision));
        assert.ok(Math.abs(exp - Date.now() / 1_000 - 60) < 30, "ends after the ttl");
        await put(face, "k", "v", { token });
        const [head, body, signature = ""] = token.split(".");
        const flipped = signature.startsWith("A") ? "B" : "A";
        const forged = `${head}.${body}.${flipped}${signature.slice(1)}`;
        for (const bad of [forged, "x", `${head}.${body}.`, "y".repeat(5000)]) {
          await refused(put(face, "k", "v", { token: bad }), status.UNAUTHENTICATED, invalid);
        }
      } finally {
        await face.close();
      }
    });
  }

  test("a token ends with its time, and for keys with the next change of auth data", async () => {
    let wallMillis = Date.now();
    const key = `priv-key=${file("RS256.key")}`;
    const face = await openWith(`jwt,sign-method=RS256,${key},ttl=1h30m`, () => wallMillis);
    try {
      const { auth } = face;
      const first = await login(face);
      wallMillis += 89 * 60_000;
      await put(face, "k", "v", first);
      await call(auth, auth.roleAdd, { name: "another" }, first);
      await refused(put(face, "k", "v", first), status.INVALID_ARGUMENT, old);
      const range = call(face.kv, face.kv.range, { key: b("k") }, first);
      await refused(range, status.INVALID_ARGUMENT, old);
      // As in etcd, administration asks for the user alone.
      await call(auth, auth.userList, {}, first);
      wallMillis += 60_000;
      await refused(call(auth, auth.userList, {}, first), status.UNAUTHENTICATED, invalid);
      await put(face, "k", "v", await login(face));
    } finally {
      await face.close();
    }
  });

  test("with the public key alone tokens that others have signed are taken, none given", async () => {
    const face = await openWith(`jwt,sign-method=RS256,pub-key=${file("RS256.pub")}`);
    try {
      const { auth } = face;
      const asked = call(auth, auth.authenticate, { name: "root", password: "r" });
      const verifyOnly = "auth: token signing attempted with verify-only key";
      await refused(asked, status.UNKNOWN, verifyOnly);
      const sign = (key: KeyObject, claims: object, alg = "RS256") =>
        new SignJWT({ ...claims }).setProtectedHeader({ alg }).setExpirationTime("1m").sign(key);
      const claims = { username: "root", revision: 4 };
      await put(face, "k", "v", { token: await sign(rsa.privateKey, claims) });
      const bad = [
        await sign(otherRsa.privateKey, claims),
        await sign(rsa.privateKey, claims, "RS384"),
        await sign(rsa.privateKey, { username: "root" }),
        await sign(rsa.privateKey, { revision: 4 }),
      ];
      for (const token of bad) {
        await refused(put(face, "k", "v", { token }), status.UNAUTHENTICATED, invalid);
      }
      const nobody = { token: await sign(rsa.privateKey, { username: "root", revision: 0 }) };
      const empty = "etcdserver: user name is empty";
      await refused(put(face, "k", "v", nobody), status.INVALID_ARGUMENT, empty);
    } finally {
      await face.close();
    }
  });

  test("options that do not fit are refused, and named", async () => {
    assert.equal(await readAuthToken("simple"), undefined);
    const keyOf = (name: string) => `priv-key=${file(`${name}.key`)}`;
    const pubOf = (name: string) => `pub-key=${file(`${name}.pub`)}`;
    const cases: readonly (readonly [text: string, error: RegExp])[] = [
      ["", /unknown token type ""/],
      ["paseto", /unknown token type "paseto"/],
      ["simple,ttl=5m", /simple takes no options, but was given "ttl=5m"/],
      ["jwt", /sign-method "": auth: invalid auth signature method/],
      ["jwt,sign-method=none", /sign-method "none": auth: invalid auth signature method/],
      ["jwt,sign-method", /"sign-method" is not name=value/],
      ["jwt,sign-method=RS256,sign-method=RS256", /sign-method is given twice/],
      ["jwt,sign-method=RS256,color=red", /unknown option "color"/],
      ["jwt,sign-method=RS256", /pub-key or priv-key: auth: missing key data/],
      ["jwt,sign-method=HS256", /priv-key: auth: missing key data/],
      [`jwt,sign-method=HS256,priv-key=${file("empty")}`, /priv-key: auth: missing key data/],
      [`jwt,sign-method=RS256,pub-key=${file("absent")}`, /pub-key: ENOENT/],
      [`jwt,sign-method=RS256,pub-key=${file("hmac")}`, /pub-key is not a key in PEM/],
      [
        `jwt,sign-method=RS256,${keyOf("RS256")},${pubOf("other")}`,
        /public and private keys don't match/,
      ],
      [`jwt,sign-method=RS256,${keyOf("small")}`, /rsa with 1024 bits, .* needs rsa with 2048/],
      [`jwt,sign-method=RS256,${keyOf("ES256")}`, /is of type ec .* RS256 needs rsa/],
      [`jwt,sign-method=ES256,${keyOf("ES384")}`, /secp384r1, but ES256 needs ec prime256v1/],
      [`jwt,sign-method=EdDSA,${pubOf("RS256")}`, /is of type rsa, but EdDSA needs ed25519/],
      [`jwt,sign-method=RS256,${keyOf("RS256")},ttl=5`, /ttl "5" is not a duration/],
      [`jwt,sign-method=RS256,${keyOf("RS256")},ttl=0s`, /ttl "0s" is not above zero/],
    ];
    for (const [text, error] of cases) await assert.rejects(readAuthToken(text), error, text);
  });
});
