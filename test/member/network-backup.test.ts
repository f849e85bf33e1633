/** `trireme backup` against a master, and who may: the whole way over TLS. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { call, connect, createRpcServer, serverStreamIterable } from "../../ha/rpc/mod.ts";
import type { Revision } from "../../ha/store/mod.ts";
import { ClusterClient } from "../../proto/gen/cluster.ts";
import { KVClient } from "../../proto/gen/etcd.ts";
import { certificateAuthenticator } from "../../services/apiserver/auth/certificate.ts";
import { defaultAuthorizers } from "../../services/apiserver/auth/rbac/default-authorizers.ts";
import { addClusterService, Readiness } from "../../services/apiserver/faces/grpc/cluster.ts";
import type { Face } from "../../services/apiserver/faces/grpc/face.ts";
import { createAuthority, serveEtcd } from "../../services/apiserver/mod.ts";
import { backup } from "../../services/cli/commands/backup.ts";
import { readBackup } from "../../services/cli/commands/backup-file.ts";
import { freePort } from "../ports.ts";
import { openRealCluster, type RealCluster, silentLog } from "./real-cluster.ts";
import { put } from "./requests.ts";

let cluster: RealCluster;
let closeServer: () => Promise<void>;
let address: string;
let authority: Awaited<ReturnType<typeof createAuthority>>;
let tls: { cert: string; key: string; clientCa: string };
const file = (name: string) => join(cluster.directory, name);

before(async () => {
  cluster = await openRealCluster(1);
  authority = await createAuthority(cluster.directory);
  const pair = await authority.issue({ commonName: "m", hosts: ["127.0.0.1"], use: "server" });
  tls = { ...pair, clientCa: authority.cert };
  const [store] = cluster.members;
  await store!.txn(put("k", "v"));
  const server = createRpcServer({ log: silentLog, tls });
  const face = {
    backend: { store, authorizers: defaultAuthorizers() },
    authenticators: [certificateAuthenticator(new Set())],
    stopping: new AbortController().signal,
    snapshot: (since: Revision | undefined) => store!.admin.snapshot(since),
  } as unknown as Face;
  addClusterService(server, face, new Readiness());
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  address = `127.0.0.1:${port}`;
  closeServer = () => server.close();
});

after(async () => {
  await closeServer();
  await cluster.close();
});

async function credentialsOf(commonName: string, ...organizations: string[]) {
  const { cert, key } = await authority.issue({ commonName, organizations, use: "client" });
  await writeFile(file(`${commonName}.crt`), cert);
  await writeFile(file(`${commonName}.key.pem`), key);
  await writeFile(file("ca.pem"), authority.cert);
  return {
    pair: { ca: authority.cert, cert, key },
    flags: {
      certificateAuthority: file("ca.pem"),
      clientCertificate: file(`${commonName}.crt`),
      clientKey: file(`${commonName}.key.pem`),
    },
  };
}

test("an administrator takes a full and an incremental backup", async () => {
  const { flags } = await credentialsOf("admin", "system:masters");
  const common = { dataDir: "unused", member: address, ...flags };
  await backup({ ...common, out: file("full") });
  const { revision = 0 } = await readBackup(file("full"));
  await cluster.members[0]!.txn(put("k", "w"));
  await backup({ ...common, out: file("more"), incremental: true, base: file("full") });
  const more = await readBackup(file("more"));
  assert.deepEqual([more.sinceRevision, more.revision], [revision, revision + 1]);
  const alone = backup({ ...common, out: file("x"), incremental: true });
  await assert.rejects(alone, /--incremental and --base go together/);
  const { revision: now } = await cluster.members[0]!.txn(put("k", "x"));
  await cluster.members[0]!.compact(now);
  const late = backup({ ...common, out: file("y"), incremental: true, base: file("full") });
  await assert.rejects(late, /--base .*full: what came after its revision \d+ .*whole backup/);
});

test("others may not", async () => {
  const { pair, flags } = await credentialsOf("somebody");
  const client = connect(ClusterClient, { addresses: [address], tls: pair });
  await assert.rejects(
    serverStreamIterable(client, "snapshot", {}).next(),
    /forbidden: User "somebody" cannot get path "\/cluster\/snapshot"/,
  );
  client.close();
  const refused = backup({ dataDir: "unused", member: address, out: file("no"), ...flags });
  await assert.rejects(refused, /no member gave a backup: .*cannot get path/);
});

test("a master's etcd port is for administrators' certificates only", async () => {
  const server = await serveEtcd(cluster.members[0]!, {
    listen: { host: "127.0.0.1", port: await freePort() },
    tls: { ...tls, clientsRequired: { organization: "system:masters" } },
  });
  const get = async (pair: { ca: string }) => {
    const client = connect(KVClient, { addresses: [`127.0.0.1:${server.port}`], tls: pair });
    try {
      const answer = await call(client, "range", { key: Buffer.from("k") } as never);
      return answer.kvs?.[0]?.value?.toString();
    } finally {
      client.close();
    }
  };
  try {
    await assert.rejects(get({ ca: authority.cert }), /a client certificate is required here/);
    const node = await credentialsOf("node", "system:nodes");
    await assert.rejects(get(node.pair), /not of the organization system:masters/);
    const admin = await credentialsOf("root", "system:masters");
    assert.ok(await get(admin.pair));
  } finally {
    await server.close();
  }
});
