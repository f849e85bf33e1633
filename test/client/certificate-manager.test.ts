/** Certificates that are asked for, kept in a file, and renewed before they end. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createAuthority } from "../../services/apiserver/pki/mod.ts";
import { rotationTime } from "../../services/client/certificate-manager.ts";
import { CertificateManager, type CertificatePurpose } from "../../services/client/mod.ts";
import { certificateSigner } from "../../services/controllers/certificates/signer.ts";
import { type SigningAuthority, signingAuthority } from "../../services/kinds/mod.ts";
import { harness } from "../controllers/harness.ts";
import { quietLog } from "./quiet-log.ts";

const hourMillis = 3_600_000;
const purpose = {
  wanted: { commonName: "worker" },
  signerName: "kubernetes.io/kube-apiserver-client",
  usages: ["digital signature", "client auth"],
};

let directory: string;
let authority: SigningAuthority;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "trireme-manager-"));
  const { cert } = await createAuthority(directory);
  authority = signingAuthority(cert, await readFile(join(directory, "ca.key"), "utf8"));
});
after(() => rm(directory, { recursive: true }));

async function world(file: string, own: CertificatePurpose = purpose) {
  const durationMillis = 10 * hourMillis;
  const w = await harness(certificateSigner({ authority, durationMillis, workers: 1 }));
  const changes: string[] = [];
  const manager = new CertificateManager({
    file: join(directory, file),
    purpose: own,
    requests: w.client.certificateSigningRequests,
    ...{ clock: w.clock, random: () => 0.5, log: quietLog },
    changed: ({ cert }) => changes.push(cert),
  });
  const stop = new AbortController();
  const decide = async (type: string) => {
    for (const request of w.api.all("CertificateSigningRequest")) {
      if ((request.status?.conditions ?? []).length > 0) continue;
      const conditions = [{ type, status: "True", reason: "Test", message: "by hand" }];
      await w.client.updateApproval({ ...request, status: { conditions } });
    }
  };
  const pending = () => w.api.all("CertificateSigningRequest").filter(isPending).length;
  return { ...w, manager, changes, stop, decide, pending };
}

const isPending = ({ status }: { status?: { conditions?: unknown[] | undefined } | undefined }) =>
  (status?.conditions ?? []).length === 0;

/** Obtains a certificate whose request is approved, and answers the pair. */
async function approved({ manager, clock, stop, pending, decide, changes }: World) {
  const obtained = manager.obtain(stop.signal);
  await clock.until(() => pending() === 1, "the request");
  await decide("Approved");
  await clock.until(() => changes.length === 1, "the certificate");
  return obtained;
}

type World = Awaited<ReturnType<typeof world>>;

test("a certificate is asked for, and renewed when most of its life is over", async () => {
  const w = await world("first.pem");
  const running = w.manager.run(w.stop.signal);
  await w.clock.until(() => w.pending() === 1, "the first request");
  await w.decide("Approved");
  await w.clock.until(() => w.changes.length === 1, "the first certificate");
  const file = join(directory, "first.pem");
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  const first = new X509Certificate(await readFile(file, "utf8"));
  assert.equal(first.subject, "CN=worker");
  const due = rotationTime(first.toString(), 0.5);
  const life = Date.parse(first.validTo) - Date.parse(first.validFrom);
  assert.equal(due, Date.parse(first.validFrom) + 0.8 * life);
  await w.clock.advance(due - w.clock.wallMillis() - 1_000);
  assert.equal(w.pending(), 0);
  await w.clock.advance(2_000);
  await w.clock.until(() => w.pending() === 1, "the second request");
  await w.decide("Denied");
  await w.clock.until(() => w.pending() === 1, "another attempt");
  assert.equal(w.changes.length, 1);
  await w.decide("Approved");
  await w.clock.until(() => w.changes.length === 2, "the second certificate");
  const second = new X509Certificate(await readFile(file, "utf8"));
  assert.notEqual(second.serialNumber, first.serialNumber);
  assert.ok(Date.parse(second.validTo) > Date.parse(first.validTo));
  w.stop.abort();
  await running;
  await w.end();
});

test("a certificate that lacks a wanted address is replaced", async () => {
  const serving = (...addresses: string[]): CertificatePurpose => ({
    wanted: {
      ...{ commonName: "system:node:worker", organizations: ["system:nodes"] },
      ...{ dnsNames: ["worker"], addresses },
    },
    signerName: "kubernetes.io/kubelet-serving",
    usages: ["digital signature", "server auth"],
  });
  for (const [addresses, has] of [
    [["127.0.0.1"], "127.0.0.1"],
    [["::1", "127.0.0.1"], "::1"],
  ] as const) {
    const w = await world("serving.pem", serving(...addresses));
    assert.equal(await w.manager.current(), undefined);
    const pair = await approved(w);
    assert.equal(new X509Certificate(pair?.cert ?? "").checkIP(has), has);
    assert.deepEqual(await w.manager.current(), pair);
    await w.end();
  }
});

test("what the file holds is used while it is valid", async () => {
  const w = await world("second.pem");
  assert.equal(await w.manager.current(), undefined);
  const pair = await approved(w);
  assert.deepEqual(await w.manager.current(), pair);
  assert.deepEqual(await w.manager.obtain(w.stop.signal), pair);
  w.clock.jump(11 * hourMillis);
  assert.equal(await w.manager.current(), undefined);
  await writeFile(join(directory, "second.pem"), "nothing");
  await assert.rejects(w.manager.current(), /second\.pem: holds no certificate in PEM/);
  await writeFile(join(directory, "second.pem"), `${pair?.cert}`);
  await assert.rejects(w.manager.current(), /second\.pem: holds no private key in PEM/);
  await w.end();
});
