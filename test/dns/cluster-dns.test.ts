/** The zone follows the API: a real apiserver in this process, and c-ares as the client. */
import assert from "node:assert/strict";
import { Resolver } from "node:dns/promises";
import { test } from "node:test";
import { MetricsRegistry } from "../../ha/runtime/metrics.ts";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { InformerFactory } from "../../services/client/mod.ts";
import { ClusterDns } from "../../services/dns/mod.ts";
import { quietLog } from "../client/quiet-log.ts";
import { RealApi } from "../client/real-api.ts";
import { eventually } from "../patience.ts";

test("services and slices that come, change and go", async () => {
  const api = await RealApi.open();
  const client = api.client();
  const informers = new InformerFactory({ client, log: quietLog, clock: productionClock });
  const address = `127.58.${process.pid % 250}.1`;
  const metrics = new MetricsRegistry();
  const dns = new ClusterDns({
    ...{ informers, address, port: 5_353, domain: "cluster.local", upstreamFile: undefined },
    ...{ clock: productionClock, log: quietLog, metrics },
  });
  const stop = new AbortController();
  informers.start(stop.signal);
  try {
    assert.match(dns.obstacle ?? "", /not started/);
    await dns.start(stop.signal);
    assert.equal(dns.obstacle, undefined);
    const resolver = new Resolver({ timeout: 2_000, tries: 2 });
    resolver.setServers([`${address}:5353`]);
    const name = "db.default.svc.cluster.local";
    const resolved = async () => {
      try {
        return (await resolver.resolve4(name)).sort().join();
      } catch (error) {
        return (error as NodeJS.ErrnoException).code ?? "";
      }
    };
    const becomes = (expected: string) =>
      eventually(`${name} to be ${expected}`, async () => (await resolved()) === expected);
    const metadata = { name: "db", namespace: "default" };
    const ports = [{ name: "sql", port: 5432 }];
    await client.services.create({ metadata, spec: { clusterIP: "None", ports } });
    await becomes("ENOTFOUND");
    const slice = await client.endpointSlices.create({
      metadata: { ...metadata, labels: { "kubernetes.io/service-name": "db" } },
      addressType: "IPv4",
      endpoints: [
        { addresses: ["10.0.0.1"], hostname: "db-0" },
        { addresses: ["10.0.0.2"], conditions: { ready: false } },
      ],
      ports: [{ name: "sql", port: 5432, protocol: "TCP" }],
    });
    await becomes("10.0.0.1");
    assert.deepEqual(await resolver.resolve4(`db-0.${name}`), ["10.0.0.1"]);
    await client.endpointSlices.update({
      ...slice,
      endpoints: [{ addresses: ["10.0.0.1"] }, { addresses: ["10.0.0.2"] }],
    });
    await becomes("10.0.0.1,10.0.0.2");
    // Standing in for a frozen server of the machine, and back, is seen by no client.
    await dns.setStandingIn(true);
    assert.equal(await resolved(), "10.0.0.1,10.0.0.2");
    await dns.setStandingIn(false);
    assert.equal(await resolved(), "10.0.0.1,10.0.0.2");
    await client.services.delete("db", "default");
    await becomes("ENOTFOUND");
    assert.match(metrics.text(), /trireme_dns_responses_total\{type="1",rcode="3",source="zone"\}/);
  } finally {
    stop.abort();
    dns.close();
    await informers.ended();
    await api.close();
  }
});
