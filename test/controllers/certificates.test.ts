/** Requests for certificates: who is approved, what is signed, and when requests go. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import type {
  CertificateSigningRequest,
  CertificateSigningRequestSpec,
} from "../../proto/gen/certificates.ts";
import { createAuthority } from "../../services/apiserver/pki/mod.ts";
import { certificateApprover } from "../../services/controllers/certificates/approver.ts";
import { certificateCleaner } from "../../services/controllers/certificates/cleaner.ts";
import { certificateSigner, validityOf } from "../../services/controllers/certificates/signer.ts";
import { type SigningAuthority, signingAuthority } from "../../services/kinds/mod.ts";
import { newRequest } from "../kinds/certificate-requests.ts";
import { harness } from "./harness.ts";

const hourMillis = 3_600_000;
const yearMillis = 365 * 24 * hourMillis;
const client = "kubernetes.io/kube-apiserver-client";
const kubeletClient = `${client}-kubelet`;
const kubeletServing = "kubernetes.io/kubelet-serving";
const forClients = ["digital signature", "client auth"];
const forServers = ["digital signature", "server auth"];
const ofNode = { commonName: "system:node:n1", organizations: ["system:nodes"] };

let ca: string;
let authority: SigningAuthority;
before(async () => {
  const directory = await mkdtemp(join(tmpdir(), "trireme-signer-"));
  ({ cert: ca } = await createAuthority(directory));
  authority = signingAuthority(ca, await readFile(join(directory, "ca.key"), "utf8"));
  await rm(directory, { recursive: true });
});

const signer = () => certificateSigner({ authority, durationMillis: yearMillis, workers: 1 });

type World = Awaited<ReturnType<typeof harness>>;

async function ask(
  { client: api }: World,
  name: string,
  wanted: Parameters<typeof newRequest>[0],
  spec: CertificateSigningRequestSpec,
): Promise<CertificateSigningRequest> {
  const request = newRequest(wanted);
  return await api.certificateSigningRequests.create({
    metadata: { name },
    spec: { request, signerName: client, usages: forClients, ...spec },
  });
}

function decide({ client: api }: World, request: CertificateSigningRequest, type = "Approved") {
  const conditions = [{ type, status: "True", reason: "Test" }];
  return api.updateApproval({ ...request, status: { conditions } });
}

const find = ({ api }: World, name: string) => api.get("CertificateSigningRequest", name);
const condition = (w: World, name: string) => find(w, name)?.status?.conditions?.at(-1);
const issued = (w: World, name: string): X509Certificate =>
  new X509Certificate(Buffer.from(find(w, name)?.status?.certificate ?? "", "base64"));

test("an approved request is signed by the cluster's authority", async () => {
  const w = await harness(signer());
  const wanted = { commonName: "jane", organizations: ["dev", "ops"] };
  const made = await ask(w, "a", wanted, { expirationSeconds: 86_400 });
  const denied = await ask(w, "b", wanted, {});
  await decide(w, denied, "Denied");
  await decide(w, made);
  await w.clock.until(() => find(w, "a")?.status?.certificate !== undefined, "the certificate");
  const certificate = issued(w, "a");
  assert.ok(certificate.checkIssued(authority.certificate));
  assert.ok(certificate.verify(authority.certificate.publicKey));
  assert.equal(certificate.subject, "O=dev\nO=ops\nCN=jane");
  assert.equal(certificate.ca, false);
  assert.deepEqual(certificate.keyUsage, ["1.3.6.1.5.5.7.3.2"]);
  const life = Date.parse(certificate.validTo) - Date.parse(certificate.validFrom);
  assert.equal(life, 86_400_000);
  assert.equal(find(w, "b")?.status?.certificate, undefined);
  await w.end();
});

test("what its signer does not take fails with the reason", async () => {
  const w = await harness(signer());
  const dns = { dnsNames: ["n1"] };
  const cases: [object, CertificateSigningRequestSpec, string][] = [
    [
      { commonName: "x" },
      { usages: ["server auth"] },
      "invalid usage for client certificate: server auth",
    ],
    [
      { commonName: "x" },
      { usages: ["digital signature"] },
      "missing required usage for client certificate: client auth",
    ],
    [
      { commonName: "system:node:n1" },
      { signerName: kubeletClient },
      "subject organization is not system:nodes",
    ],
    [{ ...ofNode, ...dns }, { signerName: kubeletClient }, "DNS subjectAltNames are not allowed"],
    [
      { ...ofNode, addresses: ["10.0.0.1"] },
      { signerName: kubeletClient },
      "IP subjectAltNames are not allowed",
    ],
    [
      { ...ofNode, commonName: "n1" },
      { signerName: kubeletClient },
      "subject common name does not begin with system:node:",
    ],
    [
      ofNode,
      { signerName: kubeletClient, usages: ["client auth"] },
      "usages did not match [client auth digital signature key encipherment]",
    ],
    [
      ofNode,
      { signerName: kubeletServing, usages: forServers },
      "DNS or IP subjectAltName is required",
    ],
    [
      { ...ofNode, ...dns },
      { signerName: kubeletServing },
      "usages did not match [digital signature key encipherment server auth]",
    ],
  ];
  for (const [index, [wanted, spec, message]] of cases.entries()) {
    const made = await ask(w, `r${index}`, wanted as { commonName: string }, spec);
    await decide(w, made);
    await w.clock.until(() => condition(w, `r${index}`)?.type === "Failed", message);
    const failed = condition(w, `r${index}`);
    assert.deepEqual([failed?.reason, failed?.message], ["SignerValidationFailure", message]);
    assert.equal(failed?.status, "True");
  }
  await w.end();
});

test("signers of others and undecided requests are left alone", async () => {
  const w = await harness(signer());
  await ask(w, "pending", { commonName: "x" }, {});
  const other = await ask(w, "other", { commonName: "x" }, { signerName: "example.com/own" });
  await decide(w, other);
  await w.clock.advance(5_000);
  assert.equal(find(w, "pending")?.status?.certificate, undefined);
  assert.deepEqual(find(w, "other")?.status?.conditions?.length, 1);
  assert.equal(find(w, "other")?.status?.certificate, undefined);
  await w.end();
});

test("a certificate lives as long as is wanted, within limits", () => {
  const life = (seconds: number | undefined) => {
    const { notBefore, notAfter } = validityOf(seconds, yearMillis, 0);
    assert.equal(notBefore, -300_000);
    return notAfter / 1_000;
  };
  assert.equal(life(undefined), yearMillis / 1_000 - 300);
  assert.equal(life(10 ** 9), yearMillis / 1_000 - 300);
  assert.equal(life(600), 600);
  assert.equal(life(10), 600);
  assert.equal(life(8 * 3_600), 8 * 3_600 - 300);
  assert.equal(life(8 * 3_600 - 1), 8 * 3_600 - 1);
});

test("kubelets are approved by their rights, and for their own names alone", async () => {
  const w = await harness(certificateApprover(1));
  const { api } = w;
  const node = (name: string) => api.client({ CN: `system:node:${name}`, O: ["system:nodes"] });
  const joining = api.client({ CN: "system:bootstrap:abcdef", O: ["system:bootstrappers"] });
  const as = (who: World["client"]): World => ({ ...w, client: who });
  const spec = { signerName: kubeletClient };
  await w.client.clusterRoleBindings.create(
    bind("system:node-bootstrapper", "system:bootstrappers"),
  );
  const approved = (name: string) => condition(w, name)?.type === "Approved";

  await ask(as(joining), "first", ofNode, spec);
  await ask(as(node("n1")), "renewal", ofNode, spec);
  await w.clock.advance(5_000);
  assert.equal(condition(w, "first"), undefined);
  await w.client.clusterRoleBindings.create(bind(`${csrRole}:nodeclient`, "system:bootstrappers"));
  await w.client.clusterRoleBindings.create(bind(`${csrRole}:selfnodeclient`, "system:nodes"));
  await w.clock.until(() => approved("first"), "the approval of the first certificate");
  await w.clock.until(() => approved("renewal"), "the approval of the renewal");
  assert.equal(condition(w, "first")?.reason, "AutoApproved");
  assert.match(condition(w, "first")?.message ?? "", /^Auto approving kubelet client certificate/);
  assert.match(condition(w, "renewal")?.message ?? "", /^Auto approving self kubelet client/);

  await ask(as(node("n2")), "for another", ofNode, spec);
  const serving = { signerName: kubeletServing, usages: forServers };
  const own = { ...ofNode, dnsNames: ["n1"], addresses: ["10.0.0.1"] };
  await ask(as(node("n1")), "serving", own, serving);
  await ask(as(node("n1")), "false", { ...ofNode, addresses: ["10.0.0.2"] }, serving);
  await ask(as(node("n2")), "foreign", own, serving);
  await w.clock.advance(5_000);
  assert.equal(condition(w, "serving"), undefined);
  const made = await w.client.nodes.create({ metadata: { name: "n1" } });
  const addresses = [{ type: "InternalIP", address: "10.0.0.1" }];
  await w.client.nodes.updateStatus({ ...made, status: { addresses } });
  await w.clock.until(() => approved("serving"), "the approval of the serving certificate");
  await w.clock.advance(60_000);
  for (const name of ["for another", "false", "foreign"]) {
    assert.equal(condition(w, name), undefined, name);
  }
  await w.end();
});

const csrRole = "system:certificates.k8s.io:certificatesigningrequests";
const bind = (role: string, group: string) => {
  const apiGroup = "rbac.authorization.k8s.io";
  return {
    metadata: { name: `${role}-${group}` },
    roleRef: { apiGroup, kind: "ClusterRole", name: role },
    subjects: [{ apiGroup, kind: "Group", name: group }],
  };
};

test("requests go an hour after they were decided, pending ones after a day", async () => {
  const w = await harness(certificateCleaner(1), signer());
  for (const [name, type] of [
    ["approved", "Approved"],
    ["denied", "Denied"],
  ] as const) {
    await decide(w, await ask(w, name, { commonName: "x" }, {}), type);
  }
  await ask(w, "pending", { commonName: "x" }, {});
  const short = await ask(w, "short", { commonName: "x" }, { expirationSeconds: 600 });
  await decide(w, short);
  const left = () => w.api.all("CertificateSigningRequest").map(({ metadata }) => metadata?.name);
  await w.clock.advance(599_000);
  assert.deepEqual(left(), ["approved", "denied", "pending", "short"]);
  await w.clock.advance(2_000);
  assert.deepEqual(left(), ["approved", "denied", "pending"]);
  await w.clock.advance(hourMillis);
  assert.deepEqual(left(), ["pending"]);
  await w.clock.advance(22 * hourMillis);
  assert.deepEqual(left(), ["pending"]);
  await w.clock.advance(hourMillis);
  assert.deepEqual(left(), []);
  await w.end();
});
