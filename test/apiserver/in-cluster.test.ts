/** What programs in pods need to reach the API: a token, the service `kubernetes`, a certificate. */
import assert from "node:assert/strict";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { type AddressInfo, createServer, isIPv4, isIPv6 } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { ConfigMap, Endpoints, Pod, PodSpec, Service } from "../../proto/gen/core.ts";
import type { EndpointSlice } from "../../proto/gen/discovery.ts";
import { reconcileClusterInfo } from "../../services/apiserver/cluster-info.ts";
import {
  parseApiEndpoints,
  Reachability,
  reconcileClusterService,
} from "../../services/apiserver/cluster-service.ts";
import { ensureClusterPki } from "../../services/apiserver/pki/mod.ts";
import { type Backend, get, internalCall, remove } from "../../services/apiserver/verbs/mod.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { freePort } from "../ports.ts";
import { adminCall, kind, make, pod, world } from "./harness.ts";

const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const signingKey = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
const serviceAccounts = { signingKey, keys: [], issuers: ["https://cluster.example.com"] };
/** Ranges of services' addresses. */
const four = "127.32.64.0/18";
const path = "/var/run/secrets/kubernetes.io/serviceaccount";

function account(name: string, fields: object): Document {
  const metadata = { name, namespace: "default" };
  return { apiVersion: "v1", kind: "ServiceAccount", metadata, ...fields };
}

async function made(backend: Backend, name: string, spec: PodSpec = {}): Promise<PodSpec> {
  const { document } = await make(backend, pod(name, {}, spec));
  return (document as Pod).spec ?? {};
}

async function found<T>(backend: Backend, plural: string, name: string): Promise<T> {
  const key = { namespace: "default", name };
  return (await get(backend, adminCall(), kind(plural), key)).document as T;
}

async function caughtUp(backend: Backend): Promise<void> {
  await backend.cache.waitFor(await backend.store.readRevision());
}

test("pods get a token, the CA and their namespace, where nothing else is mounted", async () => {
  await using w = await world({ serviceAccounts });
  const own = { name: "mine", mountPath: path };
  const spec = await made(w.backend, "p", {
    volumes: [{ name: "mine", emptyDir: {} }],
    initContainers: [{ name: "i", image: "i" }],
    containers: [
      { name: "a", image: "i" },
      { name: "b", image: "i", volumeMounts: [own] },
    ],
  });
  const [, volume] = spec.volumes ?? [];
  assert.match(volume?.name ?? "", /^kube-api-access-[a-z0-9]{5}$/);
  assert.deepEqual(volume?.projected, {
    defaultMode: 420,
    sources: [
      { serviceAccountToken: { expirationSeconds: 3607, path: "token" } },
      { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
      {
        downwardAPI: {
          items: [
            { path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } },
          ],
        },
      },
    ],
  });
  const mount = [{ name: volume?.name, readOnly: true, mountPath: path }];
  assert.deepEqual(spec.initContainers?.[0]?.volumeMounts, mount);
  assert.deepEqual(spec.containers?.[0]?.volumeMounts, mount);
  assert.deepEqual(spec.containers?.[1]?.volumeMounts, [own]);
});

test("the pod, or else the account, says whether a token is mounted", async () => {
  await using w = await world({ serviceAccounts });
  await make(w.backend, account("shy", { automountServiceAccountToken: false }));
  await make(w.backend, account("open", { imagePullSecrets: [{ name: "registry" }] }));
  const volumes = async (name: string, spec: PodSpec) =>
    ((await made(w.backend, name, spec)).volumes ?? []).length;
  assert.equal(await volumes("a", { serviceAccountName: "shy" }), 0);
  const asked = { serviceAccountName: "shy", automountServiceAccountToken: true };
  assert.equal(await volumes("b", asked), 1);
  assert.equal(await volumes("c", { automountServiceAccountToken: false }), 0);
  const given = await made(w.backend, "d", { serviceAccountName: "open" });
  assert.deepEqual(given.imagePullSecrets, [{ name: "registry" }]);
  const kept = { serviceAccountName: "open", imagePullSecrets: [{ name: "mine" }] };
  assert.deepEqual((await made(w.backend, "e", kept)).imagePullSecrets, [{ name: "mine" }]);
});

test("without a key for tokens none is mounted", async () => {
  await using w = await world();
  assert.equal((await made(w.backend, "p")).volumes, undefined);
});

test("the service kubernetes leads to the API, and is put back", async () => {
  await using w = await world({ serviceRange: "127.32.64.0/18" });
  const both = parseApiEndpoints("127.0.0.1:6443,127.0.0.1:6444", undefined, four);
  await reconcileClusterService(w.backend, both);
  await caughtUp(w.backend);
  const { spec } = await found<Service>(w.backend, "services", "kubernetes");
  assert.equal(spec?.clusterIP, "127.32.64.1");
  assert.deepEqual(spec?.ports, [{ name: "https", port: 443, protocol: "TCP", targetPort: 6443 }]);
  const subset = (port: number) => ({
    addresses: [{ ip: "127.0.0.1" }],
    ports: [{ name: "https", port, protocol: "TCP" }],
  });
  const subsets = async () =>
    (await found<Endpoints>(w.backend, "endpoints", "kubernetes")).subsets;
  assert.deepEqual(await subsets(), [subset(6443), subset(6444)]);
  const second = await found<EndpointSlice>(w.backend, "endpointslices", "kubernetes-1");
  assert.equal(second.ports?.[0]?.port, 6444);

  const revision = await w.backend.store.readRevision();
  await reconcileClusterService(w.backend, both);
  assert.equal(await w.backend.store.readRevision(), revision, "nothing is written again");

  const key = { namespace: "default", name: "kubernetes" };
  await remove(w.backend, adminCall(), kind("services"), key);
  await caughtUp(w.backend);
  await reconcileClusterService(w.backend, parseApiEndpoints("127.0.0.1:7000", undefined, four));
  await caughtUp(w.backend);
  const back = await found<Service>(w.backend, "services", "kubernetes");
  assert.equal(back.spec?.clusterIP, "127.32.64.1");
  assert.deepEqual(await subsets(), [subset(7000)]);
  await assert.rejects(found(w.backend, "endpointslices", "kubernetes-1"), /not found/);
});

test("everyone reads in cluster-info where the API is, and its CA; nothing else", async () => {
  await using w = await world();
  const anonymous = () =>
    internalCall({ name: "system:anonymous", groups: ["system:unauthenticated"] });
  const read = (namespace: string, name: string) =>
    get(w.backend, anonymous(), kind("configmaps"), { namespace, name });
  const info = { server: "https://127.0.0.1:6443", ca: "CA" };
  await reconcileClusterInfo(w.backend, info);
  await caughtUp(w.backend);
  const config = async () => {
    const { data } = (await read("kube-public", "cluster-info")).document as ConfigMap;
    return JSON.parse(data?.["kubeconfig"] ?? "").clusters[0].cluster;
  };
  const ca = Buffer.from("CA").toString("base64");
  assert.deepEqual(await config(), {
    "certificate-authority-data": ca,
    server: "https://127.0.0.1:6443",
  });
  await reconcileClusterInfo(w.backend, { ...info, server: "https://127.0.0.1:7000" });
  await caughtUp(w.backend);
  assert.equal((await config()).server, "https://127.0.0.1:7000");
  await assert.rejects(read("kube-public", "other"), /cannot get/);
  await assert.rejects(read("kube-system", "cluster-info"), /cannot get/);
});

test("endpoints of the API are checked", () => {
  const own = { host: "10.0.0.7", port: 6443 };
  assert.deepEqual(parseApiEndpoints(undefined, own, four), [{ ip: "10.0.0.7", port: 6443 }]);
  assert.deepEqual(parseApiEndpoints(undefined, undefined, four), []);
  const named = { ...own, host: "localhost" };
  assert.deepEqual(parseApiEndpoints(undefined, named, four), []);
  const bad = ["", "1.2.3.4", "1.2.3.4:0", "1.2.3.4:65536", "host:1", "1.2.3.4:1:2"];
  for (const wrong of [...bad, "::1:6443", "[::1]", "[1.2.3.4]:1", "[::1]:0", "[fe80::1%lo]:1"]) {
    const parse = () => parseApiEndpoints(wrong, own, four);
    assert.throws(parse, /--kubernetes-service-endpoints/, wrong);
  }
});

test("endpoints of the API are of the family of the services' first range", () => {
  const six = "fd00::/112,10.0.0.0/16";
  const at = (host: string) => ({ host, port: 6443 });
  const found = (host: string, range: string) => parseApiEndpoints(undefined, at(host), range);
  assert.deepEqual(found("fd01::7", six), [{ ip: "fd01::7", port: 6443 }]);
  assert.deepEqual(parseApiEndpoints("[FD01::7]:1,[fd01::8]:2", undefined, "fd00::/112"), [
    { ip: "fd01::7", port: 1 },
    { ip: "fd01::8", port: 2 },
  ]);
  // What listens on all addresses has those of both families.
  assert.ok(isIPv6(found("::", six)[0]?.ip ?? ""));
  assert.ok(isIPv4(found("::", four)[0]?.ip ?? ""));
  const refused = (parse: () => unknown, range: string, ip: string) => {
    const message = `service IP family "${range}" must match public address family "${ip}"`;
    assert.throws(parse, { message });
  };
  refused(() => found("10.0.0.7", six), "fd00::/112", "10.0.0.7");
  refused(() => found("::1", "10.0.0.0/16,fd00::/112"), "10.0.0.0/16", "::1");
  const mixed = "[fd01::7]:1,10.0.0.7:1";
  refused(() => parseApiEndpoints(mixed, undefined, six), "fd00::/112", "10.0.0.7");
});

test("where the services' first range is of IPv6, so is the service kubernetes", async () => {
  await using w = await world({ serviceRange: "fd00::/112,10.0.0.0/16" });
  const spec = async (name: string) => (await found<Service>(w.backend, "services", name)).spec;
  // From before, when the cluster had ranges of IPv4.
  await make(w.backend, {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "kubernetes", namespace: "default" },
    addressType: "IPv4",
    endpoints: [{ addresses: ["127.0.0.1"] }],
    ports: [],
  });
  await caughtUp(w.backend);
  const endpoints = parseApiEndpoints("[::1]:6443", undefined, "fd00::/112,10.0.0.0/16");
  await reconcileClusterService(w.backend, endpoints);
  await caughtUp(w.backend);
  const own = await spec("kubernetes");
  assert.deepEqual(own?.clusterIPs, ["fd00::1"]);
  assert.deepEqual([own?.ipFamilies, own?.ipFamilyPolicy], [["IPv6"], "SingleStack"]);
  const { subsets } = await found<Endpoints>(w.backend, "endpoints", "kubernetes");
  assert.deepEqual(subsets?.[0]?.addresses, [{ ip: "::1" }]);
  const slice = await found<EndpointSlice>(w.backend, "endpointslices", "kubernetes");
  assert.equal(slice.addressType, "IPv6");
  assert.deepEqual(slice.endpoints?.[0]?.addresses, ["::1"]);
  assert.equal(slice.ports?.[0]?.port, 6443);

  const ports = [{ port: 80 }];
  const service = (name: string, more: Service["spec"]): Document => ({
    ...{ apiVersion: "v1", kind: "Service", metadata: { name, namespace: "default" } },
    spec: { ports, ...more },
  });
  await make(w.backend, service("plain", {}));
  await make(w.backend, service("both", { ipFamilyPolicy: "PreferDualStack" }));
  await caughtUp(w.backend);
  assert.deepEqual((await spec("plain"))?.ipFamilies, ["IPv6"]);
  assert.deepEqual((await spec("both"))?.ipFamilies, ["IPv6", "IPv4"]);
  assert.match((await spec("both"))?.clusterIPs?.join() ?? "", /^fd00::[0-9a-f]+,10\.0\./);
});

test("the servers' certificates are for the first address of a range of IPv6", async () => {
  const dir = await mkdtemp(join(tmpdir(), "trireme-pki-"));
  const layout = { masters: ["m"], nodes: [], hosts: ["::1"], serviceRange: "fd00::/112" };
  const { files } = await ensureClusterPki(dir, layout);
  const text = await readFile(files["apiserver-m"]?.cert ?? "", "utf8");
  assert.equal(new X509Certificate(text).checkIP("fd00::1"), "fd00::1");
  await rm(dir, { recursive: true });
});

test("the servers' certificates are for the service's names, also those made before", async () => {
  const dir = await mkdtemp(join(tmpdir(), "trireme-pki-"));
  const layout = { masters: ["m"], nodes: ["n"], hosts: ["127.0.0.1"] };
  const before = await ensureClusterPki(dir, layout);
  const text = (name: string) => readFile(before.files[name]?.cert ?? "", "utf8");
  const [old, node] = [await text("apiserver-m"), await text("kubelet-server-n")];
  assert.equal(new X509Certificate(old).checkIP("127.32.64.1"), undefined);
  await ensureClusterPki(dir, { ...layout, serviceRange: "127.32.64.0/18" });
  for (const name of ["apiserver-m", "balancer"]) {
    const certificate = new X509Certificate(await text(name));
    assert.equal(certificate.checkIP("127.32.64.1"), "127.32.64.1");
    assert.equal(certificate.checkHost("kubernetes.default.svc"), "kubernetes.default.svc");
  }
  assert.equal(await text("kubelet-server-n"), node, "what is enough is kept");
  await rm(dir, { recursive: true });
});

test("an endpoint that takes no connections for a while is none of the service's", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const alive = { ip: "127.0.0.1", port: (server.address() as AddressInfo).port };
  const dead = { ip: "127.0.0.1", port: await freePort() };
  const reachability = new Reachability([alive, dead]);
  assert.deepEqual(await reachability.check(), [alive, dead]);
  assert.deepEqual(await reachability.check(), [alive, dead]);
  assert.deepEqual(await reachability.check(), [alive]);
  server.close();
  await once(server, "close");
  for (let round = 0; round < 3; round++) await reachability.check();
  assert.deepEqual(await reachability.check(), [alive, dead]);
});
