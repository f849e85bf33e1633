/** The cluster's authority and its credentials. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { checkCertificate } from "../../services/apiserver/pki/key-pair.ts";
import { ensureClusterPki } from "../../services/apiserver/pki/mod.ts";

test("PKI: made once, private, with clear errors", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "trireme-pki-"));
  t.after(() => rm(directory, { recursive: true }));
  const folder = join(directory, "pki");
  const layout = { masters: ["m0"], nodes: ["n1"], hosts: ["127.0.0.1", "localhost"] };
  const first = await ensureClusterPki(folder, layout);
  const second = await ensureClusterPki(folder, layout);
  assert.equal(second.authority.cert, first.authority.cert);
  const admin = first.files["admin"];
  assert.ok(admin);
  assert.equal((await stat(admin.key)).mode & 0o777, 0o600);
  const later = Date.now() + 400 * 86_400_000;
  const pem = await readFile(admin.cert, "utf8");
  assert.throws(
    () => checkCertificate(admin.cert, pem, later),
    /admin\.crt holds a certificate that expired on/,
  );
  await writeFile(admin.cert, "nonsense");
  await assert.rejects(ensureClusterPki(folder, layout), /admin\.crt holds no certificate in PEM/);
  await rm(admin.cert);
  await assert.rejects(ensureClusterPki(folder, layout), /admin\.crt is missing although/);
});
