import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { decodeJwt } from "jose";
import { clusterRoleAggregation } from "../../services/controllers/clusterrole-aggregation.ts";
import { rootCaPublisher } from "../../services/controllers/root-ca-publisher.ts";
import { serviceAccountController } from "../../services/controllers/service-account.ts";
import { serviceAccountTokenController } from "../../services/controllers/service-account-token/controller.ts";
import { harness } from "./harness.ts";

const { privateKey: pair } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const privateKey = pair.export({ type: "pkcs8", format: "pem" }) as string;
const rootCa = "-----BEGIN CERTIFICATE-----\n";

test("every namespace has its service account and the cluster's certificate", async () => {
  const { api, client, clock, end } = await harness(
    serviceAccountController(1),
    rootCaPublisher(rootCa, 1),
  );
  const account = (namespace: string) => api.get("ServiceAccount", `${namespace}/default`);
  const map = (namespace: string) => api.get("ConfigMap", `${namespace}/kube-root-ca.crt`);
  await clock.until(() => account("kube-system") !== undefined, "the account");
  await clock.until(() => map("default")?.data?.["ca.crt"] === rootCa, "the certificate");
  await client.namespaces.create({ metadata: { name: "new" } });
  await clock.until(() => account("new") !== undefined, "the account of a new namespace");
  await clock.until(() => map("new") !== undefined, "the certificate of a new namespace");
  const { uid } = account("new")?.metadata ?? {};
  await client.serviceAccounts.delete("default", "new");
  await clock.until(() => (account("new")?.metadata?.uid ?? uid) !== uid, "another account");
  await client.configMaps.delete("kube-root-ca.crt", "new");
  await clock.until(() => map("new") !== undefined, "the certificate again");
  await client.configMaps.update({ ...map("new"), data: { "ca.crt": "false", other: "x" } });
  await clock.until(() => map("new")?.data?.["ca.crt"] === rootCa, "the right certificate");
  assert.deepEqual(map("new")?.data, { "ca.crt": rootCa });
  const described = () => map("new")?.metadata?.annotations?.["kubernetes.io/description"];
  await api.change("ConfigMap", "new/kube-root-ca.crt", (each) => {
    each.metadata!.annotations = {};
  });
  await clock.until(() => /CA bundle/.test(described() ?? ""), "the description again");
  await end();
});

test("secrets for tokens are filled, and go with their account", async () => {
  const { api, client, clock, end } = await harness(
    serviceAccountTokenController({ privateKey, rootCa, workers: 2 }),
  );
  const metadata = { namespace: "default", name: "bot" };
  await client.serviceAccounts.create({ metadata });
  const secretOf = (name: string, account: string) =>
    client.secrets.create({
      type: "kubernetes.io/service-account-token",
      metadata: {
        ...{ namespace: "default", name },
        annotations: { "kubernetes.io/service-account.name": account },
      },
    });
  await secretOf("s", "bot");
  await secretOf("orphan", "nobody");
  const secret = () => api.get("Secret", "default/s");
  await clock.until(() => secret()?.data?.["token"] !== undefined, "the token");
  await clock.until(() => api.get("Secret", "default/orphan") === undefined, "the orphan's end");
  const { uid } = api.get("ServiceAccount", "default/bot")?.metadata ?? {};
  const text = (key: string) => Buffer.from(secret()?.data?.[key] ?? "", "base64").toString();
  assert.equal(text("namespace"), "default");
  assert.equal(text("ca.crt"), rootCa);
  assert.deepEqual(decodeJwt(text("token")), {
    iss: "kubernetes/serviceaccount",
    sub: "system:serviceaccount:default:bot",
    "kubernetes/serviceaccount/namespace": "default",
    "kubernetes/serviceaccount/secret.name": "s",
    "kubernetes/serviceaccount/service-account.name": "bot",
    "kubernetes/serviceaccount/service-account.uid": uid,
  });
  assert.equal(secret()?.metadata?.annotations?.["kubernetes.io/service-account.uid"], uid);
  await client.serviceAccounts.delete("bot", "default");
  await clock.until(() => secret() === undefined, "the secret's end");
  await end();
});

test("a cluster role that is made of others follows them", async () => {
  const { api, client, clock, end } = await harness(clusterRoleAggregation(1));
  const rule = (resource: string) => ({ verbs: ["get"], apiGroups: [""], resources: [resource] });
  const part = (name: string, ...resources: string[]) => ({
    metadata: { name, labels: { part: "yes" } },
    rules: resources.map(rule),
  });
  await client.clusterRoles.create({
    metadata: { name: "whole" },
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { part: "yes" } }] },
    rules: [rule("nonsense")],
  });
  const resources = () =>
    (api.get("ClusterRole", "whole")?.rules ?? []).flatMap((each) => each.resources ?? []).join();
  await clock.until(() => resources() === "", "no rules of its own");
  await client.clusterRoles.create(part("b", "pods", "nodes"));
  await client.clusterRoles.create(part("a", "pods", "services"));
  await clock.until(() => resources() === "pods,services,nodes", "the parts' rules");
  await client.clusterRoles.delete("a");
  await clock.until(() => resources() === "pods,nodes", "the rules that are left");
  const view = api.get("ClusterRole", "view")?.metadata?.resourceVersion;
  await clock.advance(5_000);
  assert.equal(
    api.get("ClusterRole", "view")?.metadata?.resourceVersion,
    view,
    "no needless write",
  );
  await end();
});
