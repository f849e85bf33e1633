/** Certificate requests through the verbs: who asked, who may approve and sign. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import type { CertificateSigningRequest } from "../../proto/gen/certificates.ts";
import { documentBody } from "../../services/apiserver/verbs/body.ts";
import { type Call, patch, update } from "../../services/apiserver/verbs/mod.ts";
import type { Document } from "../../services/kinds/mod.ts";
import { certificateRequest } from "../kinds/certificate-requests.ts";
import { eventually } from "../patience.ts";
import { adminCall, callAs, fails, kind, make, type World, world } from "./harness.ts";

let request: string;
before(async () => {
  request = await certificateRequest();
});

const csr = (name: string, spec: object = {}) => ({
  apiVersion: "certificates.k8s.io/v1",
  kind: "CertificateSigningRequest",
  metadata: { name },
  spec: { request, signerName: "example.com/client", usages: ["client auth"], ...spec },
});
const conditions = [{ type: "Approved", status: "True", reason: "Test" }];

function write(w: World, document: Document, subresource: string, call: Call = adminCall()) {
  const body = documentBody(structuredClone(document));
  const about = { body, subresource, typed: false };
  return update(w.backend, call, kind("csr"), about);
}

test("approval, then a certificate, then nothing more", async () => {
  await using w = await world();
  const made = await make(w.backend, csr("a", { username: "root" }));
  const asked = made.document as CertificateSigningRequest;
  assert.equal(asked.spec?.username, "admin");
  assert.deepEqual(asked.spec?.groups, ["system:masters", "system:authenticated"]);
  assert.deepEqual(asked.status, {});

  const approved = made.copy();
  approved["status"] = { conditions };
  delete approved.metadata?.resourceVersion;
  const after = await write(w, approved, "approval");
  const [condition] = (after.document as CertificateSigningRequest).status?.conditions ?? [];
  assert.equal(condition?.type, "Approved");
  assert.match(condition?.lastUpdateTime ?? "", /^\d{4}-/);

  const patched = await patch(w.backend, adminCall(), kind("csr"), {
    name: "a",
    subresource: "approval",
    patchType: "application/merge-patch+json",
    patch: Buffer.from('{"status":{"certificate":"eA=="}}'),
  });
  // The subresource approval writes the conditions alone.
  assert.equal((patched.document as CertificateSigningRequest).status?.certificate, undefined);
  await fails(
    write(w, { ...patched.copy(), status: { conditions: [] } }, "status"),
    "invalidArgument",
    'CertificateSigningRequest.certificates.k8s.io "a" is invalid: status.conditions: Forbidden: ' +
      'updates may not remove a condition of type "Approved"',
  );
});

test("who approves needs the right to the signer's name", async () => {
  await using w = await world();
  const made = await make(w.backend, csr("a"));
  const grant = (verb: string, resource: string, resourceNames: string[]) => ({
    apiGroups: ["certificates.k8s.io"],
    verbs: [verb],
    resources: [resource],
    resourceNames,
  });
  const role = {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "approver" },
    rules: [{ ...grant("update", "certificatesigningrequests/approval", []) }],
  };
  await make(w.backend, role);
  const binding = await make(w.backend, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name: "approver" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "approver" },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "bob" }],
  });
  const cached = () => w.backend.cache.of(kind("clusterrolebindings")).get(binding.key);
  await eventually("the binding", () => cached() !== undefined);
  const approved = { ...made.copy(), status: { conditions } };
  const refused = 'user not permitted to approve requests with signerName "example.com/client"';
  await fails(
    write(w, approved, "approval", callAs("bob")),
    "permissionDenied",
    `certificatesigningrequests.certificates.k8s.io "a" is forbidden: ${refused}`,
  );
  const body = documentBody({
    ...role,
    rules: [...role.rules, grant("approve", "signers", ["example.com/*"])],
  });
  const widened = await update(w.backend, adminCall(), kind("clusterroles"), {
    ...{ body, subresource: "", typed: false },
  });
  const revision = () => w.backend.cache.of(kind("clusterroles")).get(widened.key)?.revision;
  await eventually("the wider role", () => revision() === widened.revision);
  await write(w, approved, "approval", callAs("bob"));
});

test("no certificate of system:masters is asked of the apiserver's signer", async () => {
  await using w = await world();
  const masters = await certificateRequest("CN=eve, O=system:masters");
  await fails(
    make(
      w.backend,
      csr("a", { request: masters, signerName: "kubernetes.io/kube-apiserver-client" }),
    ),
    "permissionDenied",
    'certificatesigningrequests.certificates.k8s.io "a" is forbidden: use of ' +
      "kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed",
  );
  await make(w.backend, csr("b", { request: masters }));
});
