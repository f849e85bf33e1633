import assert from "node:assert/strict";
import { test } from "node:test";
import { requestedOrganizations } from "../../services/kinds/mod.ts";
import { certificateRequest } from "./certificate-requests.ts";
import { type Loose, row } from "./documents.ts";
import { registry } from "./registry.ts";
import { assertFaults, created, documents, faults } from "./tables.ts";

const version = "certificates.k8s.io/v1";
const request = await certificateRequest();
const csr = documents(version, "CertificateSigningRequest");
const of = (fields: Loose = {}, status?: Loose) =>
  csr({
    spec: { request, signerName: "example.com/client", usages: ["client auth"], ...fields },
    ...(status && { status }),
  });
const kind = registry.byKind(version, "CertificateSigningRequest");
assert.ok(kind);
const now = Date.parse("2026-01-01T00:00:00Z");
const context = (subresource: string) => ({
  user: { name: "alice", groups: ["team"], uid: "u", extra: { k: ["v"] } },
  subresource,
});
const pem = (base64: string) => Buffer.from(base64, "base64").toString();
const encoded = (text: string) => Buffer.from(text).toString("base64");

test("requests of every usual key are taken, broken ones are not", async () => {
  for (const type of ["ecdsa", "rsa", "ed25519"] as const) {
    assert.deepEqual(faults(of({ request: await certificateRequest("CN=a", type) })), [], type);
  }
  const body = Buffer.from(pem(request).split("\n").slice(1, -2).join(""), "base64");
  const wrap = (bytes: Buffer, type = "CERTIFICATE REQUEST") =>
    encoded(`-----BEGIN ${type}-----\n${bytes.toString("base64")}\n-----END ${type}-----\n`);
  const forged = Buffer.from(body);
  // A byte of the name that was signed.
  forged[forged.indexOf("alice")] = 0x42;
  const rows: [string, string][] = [
    ["", "PEM block type must be CERTIFICATE REQUEST"],
    [wrap(body, "CERTIFICATE"), "PEM block type must be CERTIFICATE REQUEST"],
    [wrap(Buffer.from("no DER")), "x509: malformed certificate request"],
    [wrap(body.subarray(0, 40)), "x509: malformed certificate request"],
    [wrap(Buffer.concat([body, body])), "asn1: syntax error: trailing data"],
    [wrap(forged), "x509: ECDSA verification failure"],
  ];
  for (const [text, problem] of rows) {
    assert.deepEqual(faults(of({ request: text })), [
      `spec.request: Invalid value: ${JSON.stringify(text)}: ${problem}`,
    ]);
  }
});

test("no prefix of a request brings the decoder down", () => {
  const lines = pem(request).split("\n");
  const body = Buffer.from(lines.slice(1, -2).join(""), "base64");
  for (let length = 0; length < body.length; length++) {
    const part = body.subarray(0, length).toString("base64");
    const text = `-----BEGIN CERTIFICATE REQUEST-----\n${part}\n-----END CERTIFICATE REQUEST-----`;
    assert.equal(faults(of({ request: encoded(text) })).length, 1, `${length} bytes`);
  }
});

test("a certificate request: every fault in its words", () => {
  const domain = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
  const signer = (signerName: Loose) => of({ signerName });
  const conditions = (...list: Loose[]) => of({}, { conditions: list });
  const at = "status.conditions[1]";
  const approved = { type: "Approved", status: "True" };
  assertFaults([
    [of({ expirationSeconds: 600 }), []],
    [of({ usages: [] }), ["spec.usages: Required value"]],
    [of({ usages: ["signing", "signing"] }), ['spec.usages[1]: Duplicate value: "signing"']],
    [signer(undefined), ["spec.signerName: Required value"]],
    [signer("example"), [`spec.signerName: Invalid value: "example": ${domain}`]],
    [
      signer("example/x"),
      [
        'spec.signerName: Invalid value: "example": should be a domain with at least two segments ' +
          "separated by dots",
      ],
    ],
    [
      signer("kubernetes.io/legacy-unknown"),
      [
        'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is ' +
          "not allowed via this API version",
      ],
    ],
    [
      of({ expirationSeconds: 599 }),
      [
        "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 " +
          "seconds (10 minutes)",
      ],
    ],
    [
      conditions(approved, { type: "Denied", status: "False" }),
      [
        `${at}.status: Unsupported value: "False": supported values: "True"`,
        `${at}.type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive`,
      ],
    ],
    [conditions(approved, approved), [`${at}.type: Duplicate value: "Approved"`]],
    [conditions(approved, {}), [`${at}.type: Required value`, `${at}.status: Required value`]],
    [
      of({}, { certificate: encoded("x") }),
      [
        'status.certificate: Invalid value: "<certificate data>": must contain at least one ' +
          "CERTIFICATE PEM block",
      ],
    ],
    [
      of({}, { certificate: request }),
      [
        'status.certificate: Invalid value: "<certificate data>": only CERTIFICATE PEM blocks are ' +
          'allowed, found "CERTIFICATE REQUEST"',
      ],
    ],
  ]);
  assert.match(
    faults(of({ usages: ["x"] }))[0] ?? "",
    /^spec\.usages\[0\]: Unsupported value: "x"/,
  );
});

test("the apiserver says who has asked", () => {
  const document = created(of({ username: "root", groups: ["system:masters"], uid: "0" }));
  kind.prepareForCreate(document, context(""));
  const { username, groups, uid, extra } = document.spec;
  assert.deepEqual([username, groups, uid, extra], ["alice", ["team"], "u", { k: ["v"] }]);
  assert.deepEqual(requestedOrganizations(pem(request)), ["team"]);
});

/** What a write by a subresource makes of a stored request, and what is wrong with it. */
function written(stored: Loose, subresource: string, status: Loose) {
  const next: Loose = { ...structuredClone(stored), spec: {}, status };
  kind?.prepareForUpdate(next, stored, now, context(subresource));
  const causes = kind?.validateUpdate(next, stored, context(subresource)) ?? [];
  return { next, causes: causes.map(({ field, message }) => `${field}: ${message}`) };
}

test("each subresource writes its part of the status", () => {
  const stored = created(of());
  const conditions = [{ type: "Approved", status: "True", reason: "Because" }];
  const approved = written(stored, "approval", { conditions, certificate: encoded("x") });
  assert.deepEqual(approved.causes, []);
  assert.deepEqual(approved.next.spec, stored.spec);
  assert.deepEqual(approved.next.status, {
    conditions: [
      {
        ...conditions[0],
        lastUpdateTime: "2026-01-01T00:00:00Z",
        lastTransitionTime: "2026-01-01T00:00:00Z",
      },
    ],
  });
  assert.deepEqual(written(stored, "status", { conditions }).causes, [
    'status.conditions: Forbidden: updates may not add a condition of type "Approved"',
  ]);
  assert.deepEqual(written(approved.next, "approval", { conditions: [] }).causes, [
    'status.conditions: Forbidden: updates may not remove a condition of type "Approved"',
  ]);
  const other = [{ ...approved.next.status.conditions[0], reason: "Else" }];
  assert.deepEqual(written(approved.next, "status", { conditions: other }).causes, [
    'status.conditions: Forbidden: updates may not modify a condition of type "Approved"',
  ]);
  const issued = { conditions: approved.next.status.conditions, certificate: encoded("x") };
  const signed = written(approved.next, "status", issued);
  assert.deepEqual(signed.causes, []);
  assert.deepEqual(
    written(signed.next, "status", { ...issued, certificate: encoded("y") }).causes,
    ["status.certificate: Forbidden: updates may not modify existing certificate content"],
  );
  assert.deepEqual(written(approved.next, "", issued).causes, [
    "status.certificate: Forbidden: updates may not set certificate content",
  ]);
});

test("a certificate request: columns and selectable fields", () => {
  const plain = of({ expirationSeconds: 3_600, username: "alice" });
  assert.deepEqual(Object.entries(row(plain, 0)).slice(2), [
    ["SignerName", "example.com/client"],
    ["Requestor", "alice"],
    ["RequestedDuration", "60m"],
    ["Condition", "Pending"],
  ]);
  assert.equal(kind.selectableFields["spec.signerName"]?.(plain), "example.com/client");
  const condition = (...types: string[]) =>
    row(of({}, { conditions: types.map((type) => ({ type, status: "True" })) }), 0)["Condition"];
  assert.equal(condition("Denied"), "Denied");
  assert.equal(condition("Approved", "Failed"), "Approved,Failed");
  const status = { conditions: [{ type: "Approved", status: "True" }], certificate: "x" };
  assert.equal(row(of({}, status), 0)["Condition"], "Approved,Issued");
});
