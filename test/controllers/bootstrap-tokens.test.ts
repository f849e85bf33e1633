import assert from "node:assert/strict";
import { test } from "node:test";
import { flattenedVerify } from "jose";
import { tokenCleaner } from "../../services/controllers/bootstrap-tokens/cleaner.ts";
import { bootstrapSigner } from "../../services/controllers/bootstrap-tokens/signer.ts";
import { harness } from "./harness.ts";

const proof = "0123456789abcdef";

function token(id: string, fields: Record<string, string> = {}) {
  const stringData = {
    "token-id": id,
    "token-secret": proof,
    "usage-bootstrap-signing": "true",
    ...fields,
  };
  const metadata = { name: `bootstrap-token-${id}`, namespace: "kube-system" };
  return { metadata, type: "bootstrap.kubernetes.io/token", stringData };
}

test("cluster-info is signed by the tokens that are for it", async () => {
  const { api, client, clock, end } = await harness(bootstrapSigner(1));
  const metadata = { name: "cluster-info", namespace: "kube-public" };
  await client.configMaps.create({ metadata, data: { kubeconfig: "one", other: "kept" } });
  await client.secrets.create(token("abcdef"));
  await client.secrets.create(token("zzzzzz", { "usage-bootstrap-signing": "false" }));
  const data = () => api.get("ConfigMap", "kube-public/cluster-info")?.data ?? {};
  const key = "jws-kubeconfig-abcdef";
  await clock.until(() => data()[key] !== undefined, "the signature");
  assert.deepEqual(Object.keys(data()).sort(), [key, "kubeconfig", "other"]);
  const verified = async (payload: string) => {
    const [header = "", none, signature = ""] = (data()[key] ?? "").split(".");
    assert.equal(none, "");
    const jws = {
      protected: header,
      payload: Buffer.from(payload).toString("base64url"),
      signature,
    };
    return (await flattenedVerify(jws, Buffer.from(proof))).protectedHeader;
  };
  assert.deepEqual(await verified("one"), { alg: "HS256", kid: "abcdef" });
  await assert.rejects(verified("two"));

  const before = data()[key];
  const map = api.get("ConfigMap", "kube-public/cluster-info");
  await client.configMaps.update({ ...map, metadata, data: { ...data(), kubeconfig: "two" } });
  await clock.until(() => data()[key] !== before, "the new signature");
  assert.equal((await verified("two"))?.kid, "abcdef");

  await client.secrets.delete("bootstrap-token-abcdef", "kube-system");
  await clock.until(() => data()[key] === undefined, "the end of the signature");
  assert.deepEqual(data(), { kubeconfig: "two", other: "kept" });
  await end();
});

test("tokens are removed when they expire, and sign no longer", async () => {
  const { api, client, clock, end } = await harness(tokenCleaner(1), bootstrapSigner(1));
  const metadata = { name: "cluster-info", namespace: "kube-public" };
  await client.configMaps.create({ metadata, data: { kubeconfig: "one" } });
  const expiration = new Date(clock.wallMillis() + 60_000).toISOString();
  await client.secrets.create(token("abcdef", { expiration }));
  await client.secrets.create(token("aaaaaa"));
  const data = () => api.get("ConfigMap", "kube-public/cluster-info")?.data ?? {};
  await clock.until(() => Object.keys(data()).length === 3, "two signatures");
  const kept = (id: string) => api.get("Secret", `kube-system/bootstrap-token-${id}`) !== undefined;
  assert.ok(kept("abcdef"));
  await clock.advance(61_000);
  await clock.until(() => !kept("abcdef"), "the removal");
  await clock.until(() => Object.keys(data()).length === 2, "the end of its signature");
  assert.ok(kept("aaaaaa"));
  await end();
});
