import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import { call } from "../../ha/rpc/mod.ts";
import { Code } from "../../ha/runtime/status-error.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { createCa } from "../rpc/certs.ts";
import { EchoClient } from "../rpc/echo.ts";
import { type Cluster, header, useCluster } from "./fakes.ts";

const begin = useCluster();
const hello = Buffer.from("hello");

describe("identity", () => {
  const remote = (at: Cluster) => {
    const seen = at.masters.flatMap((master) => master.seen).at(-1);
    return [header(seen, "x-remote-user"), seen?.metadata.get("x-remote-group").join("|")];
  };

  test("a certificate becomes headers, by TLS on both sides; others' headers are dropped", async () => {
    const ca = await createCa();
    const tls = { ...(await ca.server()), clientCa: ca.ca };
    const proxy = await ca.client("front-proxy", ["trireme:front-proxies"]);
    const at = await begin({ tls, masterTls: tls, upstreamTls: { ca: ca.ca, ...proxy } });
    const spoof = new Metadata();
    spoof.set("x-remote-user", "admin");
    spoof.set("x-remote-group", "system:masters");
    spoof.set("x-remote-extra-scopes", "all");
    const jane = at.client(LeasesClient, {
      ca: ca.ca,
      ...(await ca.client("jane", ["devs", "testers"])),
    });
    await call(jane, "get", {}, { metadata: spoof });
    assert.deepEqual(remote(at), ["jane", "devs, testers"]);
    const seen = at.masters.flatMap((master) => master.seen).at(-1);
    assert.equal(header(seen, "x-remote-extra-scopes"), undefined);
    assert.equal(seen?.peer.certificate?.commonName, "front-proxy");
    spoof.set("authorization", "Bearer own");
    await call(at.client(LeasesClient, { ca: ca.ca }), "get", {}, { metadata: spoof });
    const bare = at.masters.flatMap((master) => master.seen).at(-1);
    assert.equal(header(bare, "authorization"), "Bearer own");
    assert.deepEqual(remote(at), ["", ""]);
  });

  test("a certificate of another CA is refused with the reason", async () => {
    const ca = await createCa();
    const other = await createCa("other");
    const at = await begin({ tls: { ...(await ca.server()), clientCa: ca.ca } });
    const stranger = { ca: ca.ca, ...(await other.client("jane", ["system:masters"])) };
    await assert.rejects(call(at.client(LeasesClient, stranger), "get", {}), {
      code: Code.unauthenticated,
      message: /client certificate is not signed by this cluster's CA: its issuer is unknown/,
    });
    assert.equal(at.masters.flatMap((master) => master.seen).length, 0);
  });

  test("a name that a header would change is refused", async () => {
    const ca = await createCa();
    const at = await begin({ tls: { ...(await ca.server()), clientCa: ca.ca } });
    for (const group of ["a,system:masters", " system:masters", "ünits"]) {
      const sly = { ca: ca.ca, ...(await ca.client("sly", [group])) };
      await assert.rejects(call(at.client(LeasesClient, sly), "get", {}), {
        code: Code.unauthenticated,
        message: /cannot be passed on/,
      });
    }
  });

  test("where an organization is required, nobody else is let through", async () => {
    const ca = await createCa();
    const clientsRequired = { organization: "system:masters" };
    const tls = { ...(await ca.server()), clientCa: ca.ca, clientsRequired };
    const proxy = await ca.client("trireme:balancer", ["system:masters"]);
    const at = await begin({ tls, masterTls: tls, upstreamTls: { ca: ca.ca, ...proxy } });
    const as = async (name: string, groups: string[]) => {
      const pair = await ca.client(name, groups);
      return at.client(LeasesClient, { ca: ca.ca, ...pair });
    };
    await assert.rejects(call(await as("jane", ["devs"]), "get", {}), {
      code: Code.unauthenticated,
      message: /not of the organization system:masters/,
    });
    await assert.rejects(call(at.client(LeasesClient, { ca: ca.ca }), "get", {}), {
      code: Code.unauthenticated,
      message: /a client certificate is required here/,
    });
    assert.equal(at.masters.flatMap((master) => master.seen).length, 0);
    await call(await as("root", ["system:masters"]), "get", {});
    assert.deepEqual(remote(at), ["root", "system:masters"]);
  });

  test("spoofed headers are dropped without TLS too", async () => {
    const at = await begin();
    const spoof = new Metadata();
    spoof.set("x-remote-user", "admin");
    await call(at.client(LeasesClient), "create", {}, { metadata: spoof });
    await call(at.client(EchoClient), "say", hello, { metadata: spoof });
    assert.equal(header(at.masters[0].seen[0], "x-remote-user"), "");
    assert.deepEqual(remote(at), ["", ""]);
  });
});
