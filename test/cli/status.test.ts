import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createRpcServer, unary } from "../../ha/rpc/mod.ts";
import { createLog } from "../../ha/runtime/production/log.ts";
import { ClusterService } from "../../proto/gen/cluster.ts";
import { createAuthority } from "../../services/apiserver/mod.ts";
import { freePort } from "../ports.ts";
import { trireme } from "./run-program.ts";

let directory: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "trireme-status-"));
});

after(() => rm(directory, { recursive: true }));

test("status fails with one sentence when all masters are down", async () => {
  const authority = await createAuthority(directory);
  const pair = await authority.issue({ commonName: "admin", use: "client" });
  const [ca, clientCert, clientKey] = ["ca.pem", "cert.pem", "key.pem"].map((name) =>
    join(directory, name),
  ) as [string, string, string];
  await writeFile(ca, authority.cert);
  await writeFile(clientCert, pair.cert);
  await writeFile(clientKey, pair.key);
  const grpc = `127.0.0.1:${await freePort()}`;
  const endpoints = {
    ...{ grpcEndpoints: [grpc], ca, clientCert, clientKey },
    masters: [{ name: "master-0", grpc }],
    ...{ balancers: [], schedulers: [], controllerManagers: [], nodes: [] },
  };
  await writeFile(join(directory, "endpoints.json"), JSON.stringify(endpoints));
  const { code, stdout, stderr } = await trireme("status", "--data-dir", directory);
  assert.equal(code, 1);
  assert.match(stdout, new RegExp(`master-0 +– +down .*${grpc} \\(nothing listens there\\)`));
  assert.match(stdout, /the API does not answer: no master answers/);
  const sentence = `no master of the cluster in ${directory} answers`;
  assert.equal(stderr, `${sentence}; \`trireme up\` starts it if it is stopped\n`);
});

test("status --server needs no data directory", async () => {
  const server = createRpcServer({ log: createLog({}, { level: "silent" }) });
  server.addService(ClusterService, {
    status: unary(async () => ({ name: "far", role: "leader", term: 4, leaderName: "far" })),
    watchStatus: () => {},
    pods: () => {},
    snapshot: () => {},
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const away = `127.0.0.1:${await freePort()}`;
  const none = join(directory, "none");
  try {
    const servers = `127.0.0.1:${port},${away}`;
    const { stdout } = await trireme("status", "--server", servers, "--data-dir", none);
    assert.match(stdout, new RegExp(`far +– +leader +4 .*127.0.0.1:${port}\n`));
    assert.match(stdout, new RegExp(`– +– +down .*${away} \\(nothing listens there\\)`));
    assert.doesNotMatch(stdout, /PROCESS/);
    const down = await trireme("status", "--server", away, "--data-dir", none);
    assert.deepEqual(
      { code: down.code, stderr: down.stderr },
      { code: 1, stderr: `none of ${away} answers\n` },
    );
  } finally {
    await server.close();
  }
});

test("a backup that is there is kept, and restore says where peer ids come from", async () => {
  const file = join(directory, "kept.backup");
  await writeFile(file, "old");
  const { code, stderr } = await trireme("backup", "--out", file, "--server", "127.0.0.1:1");
  assert.equal(code, 1);
  assert.equal(
    stderr,
    `error: --out ${file}: the file exists; choose another, or replace it with --force\n`,
  );
  const forced = await trireme("backup", "--out", file, "--force", "--server", "127.0.0.1:1");
  assert.match(forced.stderr, /^error: no member gave a backup: 127.0.0.1:1: /);
  const help = await trireme("restore", "--help");
  assert.match(help.stdout, /trireme certs --dir PKI --peers host:port,…/);
});
