/** How a machine that joins finds its cluster, and gets a certificate for a token. */
import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { createToken } from "../../services/cli/commands/token.ts";
import { type DiscoveryOptions, discover } from "../../services/cli/join/discovery.ts";
import { downloadSecrets, uploadSecrets } from "../../services/cli/join/secrets.ts";
import { connectClient, InformerFactory, type TriremeClient } from "../../services/client/mod.ts";
import { bootstrapSigner } from "../../services/controllers/bootstrap-tokens/signer.ts";
import { certificateApprover } from "../../services/controllers/certificates/approver.ts";
import { certificateSigner } from "../../services/controllers/certificates/signer.ts";
import { ControllerManager } from "../../services/controllers/manager.ts";
import { signingAuthority } from "../../services/kinds/mod.ts";
import { bootstrapNode } from "../../services/kubelet/mod.ts";
import { fails } from "../apiserver/harness.ts";
import { quietLog } from "../client/quiet-log.ts";
import { until } from "../e2e/cluster.ts";
import { type RestWorld, restWorld } from "../rest/harness.ts";
import { written } from "./written.ts";

const token = "abcdef.0123456789abcdef";
const usages = ["authentication", "signing"];
const grpcEndpoints = ["127.0.0.1:7443", "127.0.0.1:7444"];
const groups = ["system:bootstrappers:kubeadm:default-node-token"];

const flags = {
  masterFlags: ["--request-timeout=60"],
  controllerManagerFlags: ["--cluster-cidr=10.1.0.0/16", "--volume-host-path-dir=/v,w"],
};

describe("joining", { concurrency: 1 }, () => {
  let w: RestWorld;
  let client: TriremeClient;
  let directory: string;
  let working: Promise<void>;
  let pin: string;
  const stop = new AbortController();

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "trireme-join-"));
    const apiEndpoints = [{ ip: "127.0.0.1", port: 6_443 }];
    const info = { etcdEndpoints: ["127.0.0.1:7445"], ...flags };
    w = await restWorld({ apiEndpoints, join: { ...info, grpcEndpoints } });
    const key = new X509Certificate(w.ca).publicKey.export({ type: "spki", format: "der" });
    pin = `sha256:${createHash("sha256").update(key).digest("hex")}`;
    const log = quietLog;
    client = connectClient({ servers: [grpc()], tls: { ca: w.ca, ...w.admin }, log });
    const informers = new InformerFactory({ client, log, clock: productionClock });
    const authority = signingAuthority(w.ca, w.caKey);
    const controllers = [
      bootstrapSigner(1),
      certificateApprover(1),
      certificateSigner({ authority, durationMillis: 86_400_000, workers: 1 }),
    ];
    const manager = new ControllerManager({
      ...{ client, informers, controllers, log },
      clock: productionClock,
    });
    informers.start(stop.signal);
    working = manager.lead(undefined, stop.signal);
    await until("the configuration for machines that join", async () => {
      const found = await client.configMaps.get("trireme-config", "kube-system");
      await client.configMaps.get("cluster-info", "kube-public");
      return found.data?.["grpcEndpoints"];
    });
    await written(() =>
      createToken(client, token, { ttl: 3_600, usages, groups, dataDir: directory }),
    );
  });
  after(async () => {
    stop.abort();
    await working;
    client?.close();
    await w?.[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  const grpc = () => `127.0.0.1:${w.server.port}`;
  const finding = (change: Partial<DiscoveryOptions> = {}) =>
    discover({
      ...{ server: `127.0.0.1:${w.port}`, token, caHashes: [pin], skipCaVerification: false },
      ...change,
    });

  test("a token and a pin find the cluster", async () => {
    const found = await finding();
    assert.deepEqual(found, {
      ca: w.ca,
      grpcEndpoints,
      etcdEndpoints: ["127.0.0.1:7445"],
      ...flags,
      localAddress: "127.0.0.1",
    });
    const second = `sha256:${"0".repeat(64)}`;
    assert.deepEqual(await finding({ caHashes: [second, pin] }), found);
    assert.deepEqual(await finding({ caHashes: [], skipCaVerification: true }), found);
  });

  test("the line that is printed names server, token and pin", async () => {
    const flags = { ttl: 60, usages, groups, printJoinCommand: true, dataDir: directory };
    const { out } = await written(() => createToken(client, "bbbbbb.0123456789abcdef", flags));
    const line = "trireme join 127.0.0.1:6443 --token bbbbbb.0123456789abcdef ";
    assert.equal(out, `${line}--discovery-token-ca-cert-hash ${pin}\n`);
  });

  test("what is wrong with a token is said", async () => {
    const metadata = { name: "bootstrap-token-oldone", namespace: "kube-system" };
    const stringData = {
      ...{ "token-id": "oldone", "token-secret": "0123456789abcdef" },
      ...{ "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true" },
      expiration: "2020-01-01T00:00:00Z",
    };
    await client.secrets.create({ metadata, type: "bootstrap.kubernetes.io/token", stringData });
    await fails(
      finding({ token: "oldone.0123456789abcdef" }),
      "unauthenticated",
      /token oldone is not one of this cluster's, or has expired \(.*print-join-command/,
    );
    await fails(finding({ token: "aaaaaa.0123456789abcdef" }), "unauthenticated", /token aaaaaa/);
    await fails(
      finding({ token: "aaaaaa.0123456789abcdef", caHashes: [], skipCaVerification: true }),
      "unauthenticated",
      /no signature by it/,
    );
    await fails(
      finding({ token: "abcdef.0000000000000000" }),
      "permissionDenied",
      /signature of cluster-info by token abcdef does not match/,
    );
    await fails(finding({ token: "short" }), "invalidArgument", /--token: must be six and sixteen/);
  });

  test("what is wrong with the cluster or its pin is said", async () => {
    const other = `sha256:${"0".repeat(64)}`;
    await fails(
      finding({ caHashes: [other] }),
      "permissionDenied",
      `the cluster's CA is not the pinned one: its public key is ${pin}, and ` +
        `--discovery-token-ca-cert-hash says ${other}`,
    );
    await fails(finding({ caHashes: ["sha256:12"] }), "invalidArgument", /64 hex digits/);
    await fails(finding({ caHashes: [] }), "invalidArgument", /ca-cert-hash is needed/);
    await fails(finding({ server: "127.0.0.1:1" }), "unavailable", /127\.0\.0\.1:1: .*REFUSED/);
    await fails(finding({ server: "nowhere" }), "invalidArgument", /host:port is wanted/);
  });

  test("a node gets its certificate for the token, once", async () => {
    const options = {
      ...{ servers: [grpc()], ca: w.ca, token, nodeName: "far", directory, log: quietLog },
    };
    const file = await bootstrapNode(options);
    const text = await readFile(file, "utf8");
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const certificate = new X509Certificate(text);
    assert.equal(certificate.subject, "O=system:nodes\nCN=system:node:far");
    assert.ok(certificate.checkIssued(new X509Certificate(w.ca)));
    await bootstrapNode({ ...options, token: "unused" });
    assert.equal(await readFile(file, "utf8"), text);
    const tls = { ca: w.ca, cert: text, key: text };
    const node = connectClient({ servers: [grpc()], tls, log: quietLog });
    assert.equal((await node.nodes.create({ metadata: { name: "far" } })).metadata?.name, "far");
    await assert.rejects(node.nodes.create({ metadata: { name: "other" } }), /not allowed/);
    node.close();
    await fails(
      bootstrapNode({
        ...options,
        directory: join(directory, "x"),
        token: `aaaaaa.${"0".repeat(16)}`,
      }),
      "unauthenticated",
      /bootstrap token is not valid: it is not known/,
    );
  });

  test("the secrets of the control plane pass encrypted, for who has the key", async () => {
    const [from, to] = [join(directory, "from"), join(directory, "to")];
    await mkdir(from);
    const texts = { "ca.crt": w.ca, "ca.key": w.caKey, "sa.key": "private", "sa.pub": "public" };
    for (const [file, text] of Object.entries(texts)) await writeFile(join(from, file), text);
    const download = (certificateKey: string, change: object = {}) =>
      downloadSecrets({
        ...{ server: `127.0.0.1:${w.port}`, ca: w.ca, token, certificateKey, directory: to },
        ...change,
      });
    const other = "0".repeat(64);
    await fails(download(other), "failedPrecondition", /trireme-certs is not there: it lives two/);
    await uploadSecrets(client, from);
    const key = await uploadSecrets(client, from);
    const secret = await client.secrets.get("trireme-certs", "kube-system");
    const bytes = (file: string) => Buffer.from(secret.data?.[file] ?? "", "base64");
    assert.ok(!bytes("ca.key").toString("latin1").includes("PRIVATE KEY"));
    const [owner] = secret.metadata?.ownerReferences ?? [];
    const proxy = await client.secrets.get(owner?.name ?? "", "kube-system");
    assert.equal(proxy.type, "bootstrap.kubernetes.io/token");
    const end = Buffer.from(proxy.data?.["expiration"] ?? "", "base64").toString();
    assert.ok(Math.abs(Date.parse(end) - Date.now() - 7_200_000) < 60_000, end);
    await download(key);
    for (const [file, text] of Object.entries(texts)) {
      assert.equal(await readFile(join(to, file), "utf8"), text);
      assert.equal((await stat(join(to, file))).mode & 0o777, 0o600);
    }
    await fails(download(other), "permissionDenied", /--certificate-key does not open ca\.crt/);
    await fails(download("short"), "invalidArgument", /64 hex digits/);
    await fails(uploadSecrets(client, to + to), "failedPrecondition", /ca\.crt cannot be read/);
  });
});
