/** Who is approved, what is signed and how long requests stay, as upstream has it: one row a case. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { CertificateSigningRequest } from "../../proto/gen/certificates.ts";
import { endOf } from "../../services/controllers/certificates/cleaner.ts";
import { recognizers } from "../../services/controllers/certificates/recognizers.ts";
import { signerRules } from "../../services/controllers/certificates/signer-rules.ts";
import { parseCertificateRequest } from "../../services/kinds/facts.ts";
import type { CertificateRequestContent } from "../../services/kinds/mod.ts";
import { newRequest } from "../kinds/certificate-requests.ts";

const client = "kubernetes.io/kube-apiserver-client";
const kubelet = `${client}-kubelet`;
const serving = "kubernetes.io/kubelet-serving";
const [signature, encipherment] = ["digital signature", "key encipherment"];
const [forClients, forServers] = [
  ["client auth", signature],
  ["server auth", signature],
];
const node = { commonName: "system:node:n1", organizations: ["system:nodes"] };
const named = { ...node, dnsNames: ["n1"] };

function contentOf(wanted: Parameters<typeof newRequest>[0]): CertificateRequestContent {
  const pem = Buffer.from(newRequest(wanted), "base64").toString("latin1");
  const content = parseCertificateRequest(pem);
  assert.ok(content);
  return content;
}

type Wanted = Parameters<typeof newRequest>[0];
const organization = "subject organization is not system:nodes";
const clientUsages = "usages did not match [client auth digital signature key encipherment]";
const serverUsages = "usages did not match [digital signature key encipherment server auth]";
const commonName = "subject common name does not begin with system:node:";

/** Undefined: it is signed. */
const signed: readonly [string, signer: string, Wanted, usages: string[], string | undefined][] = [
  ["a person", client, { commonName: "jane" }, forClients, undefined],
  ["with all usages", client, { commonName: "jane" }, [...forClients, encipherment], undefined],
  ["with one usage", client, { commonName: "jane" }, ["client auth"], undefined],
  ["a person's names do not matter", client, { ...named, commonName: "x" }, forClients, undefined],
  ["a kubelet", kubelet, node, forClients, undefined],
  ["a kubelet with a key that enciphers", kubelet, node, [...forClients, encipherment], undefined],
  ["a kubelet's usage is missing", kubelet, node, [signature], clientUsages],
  ["a kubelet wants too much", kubelet, node, [...forClients, "server auth"], clientUsages],
  [
    "a kubelet of two organizations",
    kubelet,
    { ...node, organizations: ["system:nodes", "system:masters"] },
    forClients,
    organization,
  ],
  ["organization before name", kubelet, { commonName: "x" }, forClients, organization],
  [
    "names before common name",
    kubelet,
    { ...named, commonName: "x" },
    forClients,
    "DNS subjectAltNames are not allowed",
  ],
  ["common name before usages", kubelet, { ...node, commonName: "x" }, [], commonName],
  ["a server by name", serving, named, forServers, undefined],
  ["a server by address", serving, { ...node, addresses: ["10.0.0.1"] }, forServers, undefined],
  ["a server that enciphers", serving, named, [...forServers, encipherment], undefined],
  ["a server without names", serving, node, [], "DNS or IP subjectAltName is required"],
  [
    "a server's usages before its common name",
    serving,
    { ...named, commonName: "x" },
    [],
    serverUsages,
  ],
  ["a server's common name", serving, { ...named, commonName: "x" }, forServers, commonName],
];
suite("certificate signer", () => {
  for (const [title, signer, wanted, usages, expected] of signed) {
    test(title, () => {
      const rule = signerRules.get(signer);
      assert.ok(rule);
      assert.equal(rule(contentOf(wanted), usages), expected);
    });
  }
  test("others sign for others", () => {
    assert.equal(signerRules.get("kubernetes.io/legacy-unknown"), undefined);
    assert.equal(signerRules.get("example.com/signer"), undefined);
  });
});

const addresses = [
  { type: "InternalIP", address: "10.0.0.1" },
  { type: "Hostname", address: "host-1" },
];
/** What its author needs the right to create; "own names": none. Empty: no recognizer approves it. */
const approved: readonly [string, signer: string, Wanted, string[], author: string, string[]][] = [
  ["renewal", kubelet, node, forClients, "system:node:n1", ["selfnodeclient", "nodeclient"]],
  ["first certificate", kubelet, node, forClients, "system:bootstrap:abcdef", ["nodeclient"]],
  ["of another node", kubelet, node, forClients, "system:node:n2", ["nodeclient"]],
  ["to another signer", client, node, forClients, "system:node:n1", []],
  ["with names", kubelet, named, forClients, "system:node:n1", []],
  ["for a server", kubelet, node, forServers, "system:node:n1", []],
  ["kube-proxy", client, { commonName: "system:kube-proxy" }, forClients, "x", ["kubeproxyclient"]],
  [
    "an administrator",
    client,
    { commonName: "x", organizations: ["system:masters"] },
    forClients,
    "x",
    [],
  ],
  [
    "serving, by host name",
    serving,
    { ...node, dnsNames: ["host-1"] },
    forServers,
    "system:node:n1",
    ["own names"],
  ],
  ["serving, by node name", serving, named, forServers, "system:node:n1", ["own names"]],
  [
    "serving, by address",
    serving,
    { ...node, addresses: ["10.0.0.1"] },
    forServers,
    "system:node:n1",
    ["own names"],
  ],
  [
    "serving, one name too many",
    serving,
    { ...node, dnsNames: ["n1", "evil"] },
    forServers,
    "system:node:n1",
    [],
  ],
  ["serving, by another", serving, named, forServers, "system:node:n2", []],
];
suite("certificate approver", () => {
  for (const [title, signerName, wanted, usages, username, expected] of approved) {
    test(title, () => {
      const content = contentOf(wanted);
      const request = { spec: { signerName, usages, username, groups: ["system:nodes"] } };
      const found = recognizers.filter(
        (each) =>
          each.recognizes(request, content) &&
          each.admits?.(content, { metadata: { name: "n1" }, status: { addresses } }) !== false,
      );
      assert.deepEqual(
        found.map(({ subresource = "own names" }) => subresource),
        expected,
      );
    });
  }
});

const at = (minutes: number) => new Date(minutes * 60_000).toISOString();
const decided = (type: string, minutes: number) => ({
  ...{ type, status: "True", lastUpdateTime: at(minutes) },
});
const made = { creationTimestamp: at(0) };
/** The minute in which it goes. */
const ends: readonly [string, CertificateSigningRequest["status"], number | undefined][] = [
  ["undecided", {}, 24 * 60],
  ["denied", { conditions: [decided("Denied", 5)] }, 65],
  ["failed", { conditions: [decided("Approved", 5), decided("Failed", 9)] }, 69],
  ["approved, and not signed yet", { conditions: [decided("Approved", 5)] }, undefined],
];
suite("certificate cleaner", () => {
  for (const [title, status, minute] of ends) {
    test(title, () => {
      const end = endOf({ metadata: made, ...(status && { status }) });
      assert.equal(end, minute === undefined ? undefined : minute * 60_000);
    });
  }
});
