/** Connections go on under another certificate when the one that they were made with is replaced. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { createRpcServer } from "../../ha/rpc/mod.ts";
import { connectByFlags, connectClient, type TriremeClient } from "../../services/client/mod.ts";
import { until } from "../e2e/cluster.ts";
import { newRequest } from "../kinds/certificate-requests.ts";
import { type RestWorld, restWorld } from "../rest/harness.ts";
import { quietLog } from "./quiet-log.ts";

let w: RestWorld;
let directory: string;
before(async () => {
  w = await restWorld();
  directory = await mkdtemp(join(tmpdir(), "trireme-renewal-"));
});
after(async () => {
  await w[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const servers = () => [`127.0.0.1:${w.server.port}`];
const admin = (name: string) => w.user(name, "system:masters");

/** Whom the apiserver takes the client for. */
async function whoIs(client: TriremeClient): Promise<string | undefined> {
  const signerName = "example.com/none";
  const made = await client.certificateSigningRequests.create({
    metadata: { generateName: "who-" },
    spec: { request: newRequest({ commonName: "x" }), signerName, usages: ["client auth"] },
  });
  return made.spec?.username;
}

test("a client shows its new certificate, and its open streams go on", async () => {
  const tls = { ca: w.ca, ...(await admin("first")) };
  const client = connectClient({ servers: servers(), tls, log: quietLog });
  const stop = new AbortController();
  const seen: string[] = [];
  const watching = (async () => {
    const options = { namespace: "default", resourceVersion: "0", signal: stop.signal };
    for await (const { object } of client.configMaps.watch(options)) {
      seen.push(object.metadata?.name ?? "");
    }
  })().catch(() => seen.push("ended"));
  assert.equal(await whoIs(client), "first");
  await client.configMaps.create({ metadata: { name: "before", namespace: "default" } });
  await until("the first event", async () => seen.includes("before"));
  client.renewTls({ ca: w.ca, ...(await admin("second")) });
  assert.equal(await whoIs(client), "second");
  await client.configMaps.create({ metadata: { name: "after", namespace: "default" } });
  await until("the second event", async () => seen.includes("after"));
  assert.ok(!seen.includes("ended"));
  stop.abort();
  await watching;
  client.close();
});

test("a program notices that its certificate's file has been replaced", async () => {
  const file = join(directory, "pair.pem");
  const ca = join(directory, "ca.crt");
  const put = async (name: string) => {
    const { cert, key } = await admin(name);
    await writeFile(file, cert + key);
  };
  await writeFile(ca, w.ca);
  await put("old");
  const values = {
    ...{ server: servers()[0] ?? "", "certificate-authority": ca },
    ...{ "client-certificate": file, "client-key": file },
  };
  const client = await connectByFlags(values, "test", quietLog);
  assert.equal(await whoIs(client), "old");
  await writeFile(file, "half of a");
  await put("new");
  await until("the new name", async () => (await whoIs(client)) === "new", 20_000);
  client.close();
});

test("a server shows its new certificate to new connections", async () => {
  const [one, two] = [await w.serverPair(), await w.serverPair()];
  const server = createRpcServer({ log: quietLog, tls: { ...one, clientCa: w.ca } });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const shown = () =>
    new Promise<string>((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, ca: w.ca, ALPNProtocols: ["h2"] }, () => {
        resolve(socket.getPeerX509Certificate()?.serialNumber ?? "");
        socket.destroy();
      });
      socket.once("error", reject);
    });
  const serial = (pem: string) => new X509Certificate(pem).serialNumber;
  assert.equal(await shown(), serial(one.cert));
  server.renewTls({ ...two, clientCa: w.ca });
  assert.equal(await shown(), serial(two.cert));
  assert.throws(() => server.renewTls({ cert: "x", key: "y", clientCa: w.ca }));
  assert.equal(await shown(), serial(two.cert));
  await server.close();
});
