import assert from "node:assert/strict";
import { test } from "node:test";
import {
  desiredHealthChecks,
  HealthCheckServers,
} from "../../services/kube-proxy/health-checks.ts";
import { silent } from "../kubelet/support.ts";
import { freePort } from "../ports.ts";

const service = (name: string, healthCheckNodePort: number, more = {}) => ({
  metadata: { namespace: "d", name },
  spec: { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort, ...more },
});
const slice = (...nodes: string[]) => ({
  addressType: "IPv4",
  endpoints: [
    ...nodes.map((nodeName, index) => ({ addresses: [`127.64.0.${index}`], nodeName })),
    { addresses: ["127.64.0.99"], nodeName: "n1", conditions: { ready: false } },
  ],
});

test("a service's health check counts the endpoints of the address's nodes", () => {
  const checks = desiredHealthChecks(
    [
      service("b", 1, {}),
      service("a", 1),
      service("c", 2),
      service("cluster", 3, { externalTrafficPolicy: "Cluster" }),
    ],
    ({ metadata }) => (metadata?.name === "a" ? [slice("n1", "n1", "n2", "n3")] : [slice("n3")]),
    new Set(["n1", "n2"]),
  );
  assert.deepEqual(
    [...checks.values()].map(({ port, name, localEndpoints }) => [port, name, localEndpoints]),
    [
      [1, "a", 3],
      [2, "c", 0],
    ],
  );
});

test("it answers 200 while there are some, else 503, and stops with the service", async () => {
  const port = await freePort();
  const check = { port, namespace: "d", name: "a" };
  const proxies = [1, 2].map(() => new HealthCheckServers("127.0.0.1", silent));
  const apply = (localEndpoints: number) =>
    Promise.all(proxies.map((one) => one.apply(new Map([[port, { ...check, localEndpoints }]]))));
  await apply(2);
  const ask = () => fetch(`http://127.0.0.1:${port}/`, { headers: { connection: "close" } });
  const healthy = await ask();
  assert.equal(healthy.status, 200);
  assert.deepEqual(await healthy.json(), {
    service: { namespace: "d", name: "a" },
    localEndpoints: 2,
    serviceProxyHealthy: true,
  });
  await apply(0);
  assert.equal((await ask()).status, 503);
  for (const one of proxies) await one.apply(new Map());
  await assert.rejects(ask());
  for (const one of proxies) one.close();
});
