/** A person's certificate, asked for with openssl and kubectl as Kubernetes' documents show it. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { promisify } from "node:util";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { connectClient, InformerFactory, type TriremeClient } from "../../services/client/mod.ts";
import { certificateSigner } from "../../services/controllers/certificates/signer.ts";
import { ControllerManager } from "../../services/controllers/manager.ts";
import { signingAuthority } from "../../services/kinds/mod.ts";
import { quietLog } from "../client/quiet-log.ts";
import { eventually } from "../patience.ts";
import { type RestWorld, restWorld } from "../rest/harness.ts";
import { kubeconfigFile } from "../rest/kubeconfig.ts";
import { kubectl } from "./kubectl-process.ts";
import { needs } from "./needs.ts";

const run = promisify(execFile);

suite("kubectl certificate", needs("kubectl", "kubernetes-client"), () => {
  let w: RestWorld;
  let config: Awaited<ReturnType<typeof kubeconfigFile>>;
  let client: TriremeClient;
  let working: Promise<void>;
  const stop = new AbortController();

  before(async () => {
    w = await restWorld();
    config = await kubeconfigFile(w);
    const log = quietLog;
    const servers = [`127.0.0.1:${w.server.port}`];
    client = connectClient({ servers, tls: { ca: w.ca, ...w.admin }, log });
    const informers = new InformerFactory({ client, log, clock: productionClock });
    const authority = signingAuthority(w.ca, w.caKey);
    const manager = new ControllerManager({
      ...{ client, informers, log, clock: productionClock },
      controllers: [certificateSigner({ authority, durationMillis: 31_536_000_000, workers: 1 })],
    });
    informers.start(stop.signal);
    working = manager.lead(undefined, stop.signal);
  });
  after(async () => {
    stop.abort();
    await working;
    client?.close();
    await config?.[Symbol.asyncDispose]();
    await w?.[Symbol.asyncDispose]();
  });

  const ok = async (args: readonly string[], input?: string): Promise<string> => {
    const { code, out, err } = await kubectl(config.file, args, input ? { input } : {});
    assert.equal(code, 0, `kubectl ${args.join(" ")}\n${out}\n${err}`);
    return out;
  };
  const file = (name: string) => join(config.directory, name);

  async function ask(name: string): Promise<void> {
    const key = file(`${name}.key`);
    await run("openssl", ["genrsa", "-out", key, "2048"]);
    const subject = ["-subj", `/O=developers/CN=${name}`];
    await run("openssl", ["req", "-new", "-key", key, "-out", file(`${name}.csr`), ...subject]);
    const { stdout } = await run("base64", ["-w0", file(`${name}.csr`)]);
    const manifest = `
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: ${name}}
spec:
  request: ${stdout}
  signerName: kubernetes.io/kube-apiserver-client
  expirationSeconds: 86400
  usages: [client auth]
`;
    const made = await ok(["apply", "-f", "-"], manifest);
    assert.equal(made, `certificatesigningrequest.certificates.k8s.io/${name} created\n`);
  }

  test("an approved request brings a certificate that names its user", async () => {
    await ask("jane");
    assert.match(
      await ok(["get", "csr", "jane"]),
      /^jane +\S+ +kubernetes\.io\/kube-apiserver-client +admin +24h +Pending *$/m,
    );
    const approved = await ok(["certificate", "approve", "jane"]);
    assert.equal(approved, "certificatesigningrequest.certificates.k8s.io/jane approved\n");
    const path = "jsonpath={.status.certificate}";
    await eventually(
      "the certificate",
      async () => (await ok(["get", "csr", "jane", "-o", path])) !== "",
    );
    assert.match(await ok(["get", "csr", "jane"]), / Approved,Issued *$/m);
    const text = await ok(["get", "csr", "jane", "-o", path]);
    await writeFile(file("jane.crt"), Buffer.from(text, "base64"));
    const pair = [`--client-key=${file("jane.key")}`, `--client-certificate=${file("jane.crt")}`];
    await ok(["config", "set-credentials", "jane", ...pair, "--embed-certs=true"]);
    const who = await ok(["--user", "jane", "auth", "whoami", "-o", "json"]);
    const { username, groups } = JSON.parse(who).status.userInfo;
    assert.deepEqual([username, groups], ["jane", ["developers", "system:authenticated"]]);
    await ok(["create", "clusterrolebinding", "jane", "--clusterrole=view", "--user=jane"]);
    assert.equal(await ok(["--user", "jane", "auth", "can-i", "list", "pods"]), "yes\n");
    const verified = await run("openssl", ["x509", "-in", file("jane.crt"), "-noout", "-text"]);
    assert.match(verified.stdout, /Subject: O ?= ?developers, CN ?= ?jane/);
    assert.match(verified.stdout, /CA:FALSE/);
    assert.match(verified.stdout, /TLS Web Client Authentication/);
  });

  test("a denied request brings none", async () => {
    await ask("joe");
    const denied = await ok(["certificate", "deny", "joe"]);
    assert.equal(denied, "certificatesigningrequest.certificates.k8s.io/joe denied\n");
    assert.match(await ok(["get", "csr", "joe"]), / Denied *$/m);
    assert.equal(await ok(["get", "csr", "joe", "-o", "jsonpath={.status.certificate}"]), "");
  });
});
