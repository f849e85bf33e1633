/** The formats in which upstream's value transformers write, and configurations that are none. */
import assert from "node:assert/strict";
import { createCipheriv, randomBytes } from "node:crypto";
import { test } from "node:test";
import { xsalsa20poly1305 } from "@noble/ciphers/salsa.js";
import {
  type CipherName,
  cipherOf,
  keySizes,
} from "../../services/apiserver/storage/encryption/ciphers.ts";
import {
  names,
  parseEncryptionConfiguration,
} from "../../services/apiserver/storage/encryption/configuration.ts";

const place = Buffer.from("/registry/secrets/default/a");
const value = Buffer.from('{"kind":"Secret","data":{"password":"aHVudGVyMg=="}}');

test("every cipher and key size gives back what it was given, never the same twice", () => {
  for (const [name, sizes] of Object.entries(keySizes)) {
    for (const size of sizes) {
      const cipher = cipherOf(name as CipherName, "key1", randomBytes(size));
      const sealed = Buffer.from(cipher.encrypt(value, place));
      assert.equal(sealed.toString("latin1", 0, cipher.prefix.length), cipher.prefix);
      assert.equal(cipher.prefix, `k8s:enc:${name}:v1:key1:`);
      assert.equal(sealed.includes("password"), false);
      assert.notDeepEqual(sealed, Buffer.from(cipher.encrypt(value, place)));
      assert.deepEqual(Buffer.from(cipher.decrypt(sealed, place) ?? []), value);
      const other = cipherOf(name as CipherName, "key1", randomBytes(size));
      const wrong = other.decrypt(sealed, place);
      assert.ok(wrong === undefined || !Buffer.from(wrong).equals(value), name);
    }
  }
});

test("AES-GCM is bound to the key of the object, and a change is found", () => {
  const cipher = cipherOf("aesgcm", "k", randomBytes(32));
  const sealed = Buffer.from(cipher.encrypt(value, place));
  assert.equal(cipher.decrypt(sealed, Buffer.from("/registry/secrets/default/b")), undefined);
  const last = sealed.length - 1;
  sealed[last] = (sealed[last] ?? 0) ^ 1;
  assert.equal(cipher.decrypt(sealed, place), undefined);
  assert.equal(cipher.decrypt(Buffer.from(cipher.prefix), place), undefined);
});

test("what upstream's transformers have written is read", () => {
  const secret = randomBytes(32);
  const nonce = randomBytes(12);
  const gcm = createCipheriv("aes-256-gcm", secret, nonce);
  gcm.setAAD(place);
  const body = [nonce, gcm.update(value), gcm.final(), gcm.getAuthTag()];
  const written = Buffer.concat([Buffer.from("k8s:enc:aesgcm:v1:k:"), ...body]);
  assert.deepEqual(cipherOf("aesgcm", "k", secret).decrypt(written, place), value);
  const start = randomBytes(16);
  const cbc = createCipheriv("aes-256-cbc", secret, start);
  const blocks = [Buffer.from("k8s:enc:aescbc:v1:k:"), start, cbc.update(value), cbc.final()];
  assert.deepEqual(cipherOf("aescbc", "k", secret).decrypt(Buffer.concat(blocks), place), value);
  const long = randomBytes(24);
  const box = xsalsa20poly1305(secret, long).encrypt(value);
  const boxed = Buffer.concat([Buffer.from("k8s:enc:secretbox:v1:k:"), long, box]);
  assert.deepEqual(cipherOf("secretbox", "k", secret).decrypt(boxed, place), value);
});

const key = (name: string, bytes = 32) =>
  `{name: ${name}, secret: ${Buffer.alloc(bytes, name).toString("base64")}}`;
const configuration = (...entries: string[]) =>
  "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n" +
  entries.map((entry) => `- ${entry}\n`).join("");

test("the first entry that names a resource is its own, wildcards included", () => {
  const gcm = `[{aesgcm: {keys: [${key("one")}]}}, {identity: {}}]`;
  const rules = parseEncryptionConfiguration(
    configuration(
      `{resources: [secrets, deployments.apps], providers: ${gcm}}`,
      `{resources: ["*.", oars.fleet.example.com], providers: ${gcm}}`,
      `{resources: ["*.batch"], providers: ${gcm}}`,
      `{resources: ["*.*"], providers: [{identity: {}}]}`,
    ),
    "e.yaml",
  );
  const found = (group: string, plural: string) =>
    rules.findIndex((rule) => names(rule, group, plural));
  assert.equal(found("", "secrets"), 0);
  assert.equal(found("apps", "deployments"), 0);
  assert.equal(found("", "configmaps"), 1);
  assert.equal(found("fleet.example.com", "oars"), 1);
  assert.equal(found("batch", "jobs"), 2);
  assert.equal(found("apps", "replicasets"), 3);
  assert.deepEqual(
    rules[0]?.ciphers.map(({ prefix }) => prefix),
    ["k8s:enc:aesgcm:v1:one:", ""],
  );
});

test("everything that is wrong with a configuration is told, without its secrets", () => {
  const secrets = "resources: [secrets]";
  const rows: [text: string, told: RegExp][] = [
    ["kind: Pod", /apiVersion: Unsupported.*kind: Unsupported.*resources: Required/],
    [configuration(`{${secrets}}`), /resources\[0\]\.providers: Required value/],
    [configuration("{resources: [], providers: [{identity: {}}]}"), /resources\[0\]\.resources: R/],
    [configuration("{resources: ['*'], providers: [{identity: {}}]}"), /resources\[0\]: .*'\*\.'/],
    [configuration("{resources: [Secrets], providers: [{identity: {}}]}"), /small letters/],
    [
      configuration("{resources: [secrets, '*.'], providers: [{identity: {}}]}"),
      /resources\[0\]\.resources\[0\]: .*overlaps with '\*\.'/,
    ],
    [
      configuration(`{${secrets}, providers: [{kms: {name: k}}]}`),
      /providers\[0\]\.kms: Forbidden: k/,
    ],
    [
      configuration(`{${secrets}, providers: [{identity: {}, aesgcm: {}}]}`),
      /exactly one provider/,
    ],
    [
      configuration(`{${secrets}, providers: [{aesgcm: {keys: [${key("k", 20)}]}}]}`),
      /keys\[0\]\.secret: .*got 20, expected one of \[16 24 32\]/,
    ],
    [
      configuration(`{${secrets}, providers: [{secretbox: {keys: [${key("k", 16)}]}}]}`),
      /got 16, expected one of \[32\]/,
    ],
    [
      configuration(
        `{${secrets}, providers: [{aescbc: {keys: [{name: "a:b", secret: "?hush?"}]}}]}`,
      ),
      /keys\[0\]\.name: .*no colon.*secret: .*base64/s,
    ],
  ];
  for (const [text, told] of rows) {
    assert.throws(
      () => parseEncryptionConfiguration(text, "e.yaml"),
      (error: Error) => {
        assert.match(error.message, /^--encryption-provider-config e\.yaml: /);
        assert.match(error.message, told);
        assert.doesNotMatch(error.message, /hush/);
        return true;
      },
    );
  }
});
