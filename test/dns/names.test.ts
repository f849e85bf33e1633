import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Served, serve, service, slice, world } from "./world.ts";

const code = (expected: string) => (error: NodeJS.ErrnoException) => {
  assert.equal(error.code, expected);
  return true;
};

describe("names of the cluster, asked by c-ares", () => {
  const made = world();
  let served: Served;
  const base = "svc.cluster.local";
  before(async () => {
    made.put(
      service("web", {
        clusterIP: "10.96.0.20",
        clusterIPs: ["10.96.0.20"],
        ports: [
          { name: "http", port: 80 },
          { name: "metrics", port: 9_100, protocol: "TCP" },
        ],
      }),
      [slice([{ addresses: ["10.0.0.9"], conditions: { ready: true } }])],
    );
    made.put(service("dual", { clusterIP: "10.96.0.21", clusterIPs: ["10.96.0.21", "fd00::21"] }));
    made.put(service("db", { clusterIP: "None" }), [
      slice([
        { addresses: ["10.0.0.1"], hostname: "db-0", conditions: { ready: true } },
        { addresses: ["10.0.0.2"], hostname: "db-1" },
        { addresses: ["10.0.0.3"], hostname: "db-2", conditions: { ready: false } },
        { addresses: ["10.0.0.4"], conditions: { ready: true } },
      ]),
    ]);
    made.put(service("none", { clusterIP: "None" }, "lonely"));
    made.put(service("inside", { type: "ExternalName", externalName: `web.default.${base}.` }));
    made.put(service("loop", { type: "ExternalName", externalName: `loop.default.${base}` }));
    made.put(service("gone", { type: "ExternalName", externalName: `nobody.default.${base}` }));
    served = await serve(made);
  });
  after(() => served.close());

  test("a service with an address", async () => {
    const { resolver } = served;
    assert.deepEqual(await resolver.resolve4(`web.default.${base}`), ["10.96.0.20"]);
    assert.deepEqual(await resolver.resolve4(`WEB.Default.${base}`), ["10.96.0.20"]);
    const [short] = await resolver.resolve4(`web.default.${base}`, { ttl: true });
    assert.equal(short?.ttl, 5);
    await assert.rejects(resolver.resolve6(`web.default.${base}`), code("ENODATA"));
    await assert.rejects(resolver.resolve4(`web.other.${base}`), code("ENOTFOUND"));
    assert.deepEqual(await resolver.resolve6(`dual.default.${base}`), ["fd00::21"]);
  });

  test("its ports", async () => {
    const { resolver } = served;
    const name = `web.default.${base}`;
    const [http, ...more] = await resolver.resolveSrv(`_http._tcp.${name}`);
    assert.deepEqual([http?.name, http?.port, http?.priority, http?.weight], [name, 80, 0, 100]);
    assert.equal(more.length, 0);
    const all = await resolver.resolveSrv(name);
    assert.deepEqual(all.map(({ port }) => port).sort(), [80, 9_100].sort());
    await assert.rejects(resolver.resolveSrv(`_http._udp.${name}`), code("ENOTFOUND"));
    await assert.rejects(resolver.resolveSrv(`_tcp.${name}`), code("ENODATA"));
    await assert.rejects(resolver.resolve4(`_http._tcp.${name}`), code("ENODATA"));
  });

  test("a headless service: its ready endpoints, and each by its name", async () => {
    const { resolver } = served;
    const name = `db.default.${base}`;
    assert.deepEqual((await resolver.resolve4(name)).sort(), ["10.0.0.1", "10.0.0.2", "10.0.0.4"]);
    assert.deepEqual(await resolver.resolve4(`db-1.${name}`), ["10.0.0.2"]);
    assert.deepEqual(await resolver.resolve4(`10-0-0-4.${name}`), ["10.0.0.4"]);
    await assert.rejects(resolver.resolve4(`db-2.${name}`), code("ENOTFOUND"));
    const ports = await resolver.resolveSrv(`_dns._udp.${name}`);
    const wanted = [`10-0-0-4.${name}`, `db-0.${name}`, `db-1.${name}`];
    assert.deepEqual(ports.map((one) => one.name).sort(), wanted);
    assert.deepEqual([...new Set(ports.map(({ port, weight }) => `${port} ${weight}`))], ["53 33"]);
    await assert.rejects(resolver.resolve4(`none.lonely.${base}`), code("ENOTFOUND"));
  });

  test("addresses back to names", async () => {
    const { resolver } = served;
    assert.deepEqual(await resolver.reverse("10.96.0.20"), [`web.default.${base}`]);
    assert.deepEqual(await resolver.reverse("fd00::21"), [`dual.default.${base}`]);
    assert.deepEqual(await resolver.reverse("10.0.0.1"), [`db-0.db.default.${base}`]);
    await assert.rejects(resolver.reverse("127.0.0.99"), code("ENOTFOUND"));
    await assert.rejects(resolver.resolvePtr("99.0.0.10.in-addr.arpa"), code("EREFUSED"));
    await assert.rejects(
      resolver.resolve4("20.0.96.10.in-addr.arpa"),
      code("ENODATA"),
      "the name is there, but has no address",
    );
  });

  test("pods by their addresses", async () => {
    const { resolver } = served;
    assert.deepEqual(await resolver.resolve4("10-0-0-7.default.pod.cluster.local"), ["10.0.0.7"]);
    assert.deepEqual(await resolver.resolve6("fd00--7.default.pod.cluster.local"), ["fd00::7"]);
    await assert.rejects(resolver.resolve4("x.default.pod.cluster.local"), code("ENOTFOUND"));
    await assert.rejects(resolver.resolve4("a.10-0-0-7.x.pod.cluster.local"), code("ENOTFOUND"));
  });

  test("other names of services", async () => {
    const { resolver } = served;
    assert.deepEqual(await resolver.resolveCname(`inside.default.${base}`), [
      `web.default.${base}`,
    ]);
    assert.deepEqual(await resolver.resolve4(`inside.default.${base}`), ["10.96.0.20"]);
    await assert.rejects(resolver.resolve4(`loop.default.${base}`), code("ESERVFAIL"));
    await assert.rejects(resolver.resolve4(`gone.default.${base}`), code("ENOTFOUND"));
    await assert.rejects(resolver.resolve4(`x.inside.default.${base}`), code("ENOTFOUND"));
  });

  test("the zone itself", async () => {
    const { resolver } = served;
    const soa = await resolver.resolveSoa("cluster.local");
    assert.equal(soa.nsname, "ns.dns.cluster.local");
    assert.equal(soa.hostmaster, "hostmaster.cluster.local");
    assert.deepEqual(await resolver.resolveNs("cluster.local"), ["ns.dns.cluster.local"]);
    assert.deepEqual(await resolver.resolve4("ns.dns.cluster.local"), ["127.32.0.10"]);
    assert.deepEqual(await resolver.resolveTxt("dns-version.cluster.local"), [["1.1.0"]]);
    for (const name of ["cluster.local", base, `default.${base}`, "pod.cluster.local"]) {
      await assert.rejects(resolver.resolve4(name), code("ENODATA"), name);
    }
    for (const name of [`absent.${base}`, "x.cluster.local", "x.dns.cluster.local"]) {
      await assert.rejects(resolver.resolve4(name), code("ENOTFOUND"), name);
    }
    await assert.rejects(resolver.resolve4("example.com"), code("EREFUSED"));
  });

  test("a change is seen at once, a service that is gone is no more", async () => {
    const { resolver } = served;
    made.put(service("brief", { clusterIP: "10.96.0.30" }, "passing"));
    assert.deepEqual(await resolver.resolve4(`brief.passing.${base}`), ["10.96.0.30"]);
    made.put(service("brief", { clusterIP: "10.96.0.31" }, "passing"));
    assert.deepEqual(await resolver.resolve4(`brief.passing.${base}`), ["10.96.0.31"]);
    await assert.rejects(resolver.resolvePtr("30.0.96.10.in-addr.arpa"), code("EREFUSED"));
    made.zone.set("passing", "brief", undefined);
    await assert.rejects(resolver.resolve4(`brief.passing.${base}`), code("ENOTFOUND"));
    await assert.rejects(resolver.resolve4(`passing.${base}`), code("ENOTFOUND"));
    assert.equal(made.zone.size, 7);
  });
});

test("ten thousand endpoints: what fits, and others the next time", async () => {
  const made = world();
  const all = Array.from({ length: 10_000 }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
  made.put(service("many", { clusterIP: "None" }), [
    slice(all.map((address) => ({ addresses: [address] }))),
  ]);
  const served = await serve(made);
  try {
    const name = "many.default.svc.cluster.local";
    const seen = new Set<string>();
    for (let i = 0; i < 2; i++) {
      const given = await served.resolver.resolve4(name);
      assert.ok(given.length > 4_000, `${given.length}`);
      for (const address of given) seen.add(address);
    }
    assert.ok(seen.size > 4_000);
    assert.deepEqual(await served.resolver.resolve4(`10-1-39-15.${name}`), ["10.1.39.15"]);
    const ports = await served.resolver.resolveSrv(`_http._tcp.${name}`);
    assert.ok(ports.length > 500);
  } finally {
    served.close();
  }
});
