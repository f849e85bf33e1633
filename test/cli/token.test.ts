/** `trireme token`: what is made is a token that the apiserver takes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createToken, deleteTokens, listTokens } from "../../services/cli/commands/token.ts";
import { fails } from "../apiserver/harness.ts";
import { RealApi } from "../client/real-api.ts";
import { written } from "./written.ts";

const flags = {
  dataDir: "/nowhere",
  ttl: 3_600,
  usages: ["authentication", "signing"],
  groups: ["system:bootstrappers:nodes"],
};
const given = "abcdef.0123456789abcdef";

test("tokens are made, shown and removed", async () => {
  await using api = await RealApi.open();
  const client = api.client();
  const { out } = await written(() => createToken(client, undefined, flags));
  assert.match(out, /^[a-z0-9]{6}\.[a-z0-9]{16}\n$/);
  const made = await written(() =>
    createToken(client, given, { ...flags, ttl: 0, description: "for the rack" }),
  );
  assert.equal(made.out, `${given}\n`);
  const secret = await client.secrets.get("bootstrap-token-abcdef", "kube-system");
  assert.equal(secret.type, "bootstrap.kubernetes.io/token");
  const text = (key: string) => Buffer.from(secret.data?.[key] ?? "", "base64").toString();
  assert.deepEqual(Object.fromEntries(Object.keys(secret.data ?? {}).map((k) => [k, text(k)])), {
    "token-id": "abcdef",
    "token-secret": "0123456789abcdef",
    "usage-bootstrap-authentication": "true",
    "usage-bootstrap-signing": "true",
    "auth-extra-groups": "system:bootstrappers:nodes",
    description: "for the rack",
  });
  const [head = "", ...rows] = (await written(() => listTokens(client))).out.trim().split("\n");
  assert.match(head, /^TOKEN +TTL +EXPIRES +USAGES +DESCRIPTION +EXTRA GROUPS/);
  const row = rows.find((one) => one.startsWith(given)) ?? "";
  assert.match(row, /<forever> +<never> +authentication,signing +for the rack +system:boot/);
  assert.match(rows.find((one) => one.startsWith(out.trim())) ?? "", / 59m +20\d\d-/);
  await written(() => deleteTokens(client, [given, out.slice(0, 6)]));
  const left = await written(() => listTokens(client));
  assert.equal(left.out.trim().split("\n").length, 1);
});

test("what cannot be a token, a usage or a group is refused by name", async () => {
  await using api = await RealApi.open();
  const client = api.client();
  const refused = (text: RegExp, token?: string, more: object = {}) =>
    fails(createToken(client, token, { ...flags, ...more }), "invalidArgument", text);
  await refused(/token "ABC"/, "ABC");
  await refused(/--groups admins/, given, { groups: ["admins"] });
  await refused(/--usages everything/, given, { usages: ["everything"] });
  await fails(deleteTokens(client, ["nothing!"]), "invalidArgument", /"nothing!"/);
});
