/** A cluster whose first family is IPv6, by real processes on this machine's loopback. */
import assert from "node:assert/strict";
import { Resolver } from "node:dns/promises";
import { after, before, describe, test } from "node:test";
import type { TriremeClient } from "../../services/client/mod.ts";
import { answersHere } from "../../services/kubelet/node/pod-ranges.ts";
import { freePort } from "../ports.ts";
import { until } from "./cluster.ts";
import { answering, FamilyCluster } from "./family-cluster.ts";

const skip = !(await answersHere("::1")) && "skipped: this machine has no IPv6";
const both = ["::1", "127.0.0.1"];

describe("a cluster of IPv6 and IPv4", { concurrency: 1, skip }, () => {
  const cluster = new FamilyCluster({
    services: "fd00:96::/112,10.96.0.0/16",
    pods: "fd00:64::/48,127.77.0.0/16",
  });
  let client: TriremeClient;

  before(async () => {
    await cluster.start().catch((error: Error) => {
      throw new Error(`${error.message}${cluster.said()}`);
    });
    client = cluster.client();
  });
  after(async () => {
    client?.close();
    await cluster[Symbol.asyncDispose]();
  });

  const addressesOf = async (service: string) => {
    const labelSelector = `kubernetes.io/service-name=${service}`;
    const { items } = await client.endpointSlices.list({ namespace: "default", labelSelector });
    return items.map(({ addressType, endpoints = [] }) => ({
      addressType,
      addresses: endpoints.flatMap(({ addresses = [] }) => addresses),
    }));
  };
  const podIPs = async (name: string) => {
    const { status } = await client.pods.get(name, "default");
    const isReady = status?.conditions?.some((c) => c.type === "Ready" && c.status === "True");
    return isReady === true && status?.podIPs?.map(({ ip }) => ip);
  };

  test("the node has an address and a range of each", async () => {
    const { status, spec } = await until("its ranges", async () => {
      const node = await client.nodes.get("n1");
      return node.spec?.podCIDRs !== undefined && node;
    });
    const own = status?.addresses?.filter(({ type }) => type === "InternalIP");
    assert.deepEqual(
      own?.map(({ address }) => address),
      both,
    );
    assert.deepEqual(spec?.podCIDRs, ["fd00:64::/64", "127.77.0.0/24"]);
  });

  test("the service kubernetes has the first range's family, as its endpoints do", async () => {
    await until("its endpoints", async () => (await addressesOf("kubernetes")).length > 0);
    const { spec } = await client.services.get("kubernetes", "default");
    assert.deepEqual(spec?.clusterIPs, ["fd00:96::1"]);
    const slices = await addressesOf("kubernetes");
    assert.deepEqual(slices, [{ addressType: "IPv6", addresses: ["::1"] }]);
  });

  test("a pod of IPv6 is found by its name, and reached through its service", async () => {
    const port = await freePort();
    const metadata = { name: "six", namespace: "default", labels: { app: "six" } };
    const [selector, ports] = [{ app: "six" }, [{ port: 80, targetPort: port }]];
    const service = (name: string, spec: object) => ({
      ...{ apiVersion: "v1", kind: "Service", metadata: { name, namespace: "default" } },
      spec: { selector, ports, ...spec },
    });
    await cluster.apply(
      {
        ...{ apiVersion: "v1", kind: "Pod", metadata },
        spec: { hostNetwork: true, containers: [answering(port)] },
      },
      service("web", { type: "NodePort" }),
      service("web-both", { type: "NodePort", ipFamilyPolicy: "RequireDualStack" }),
      service("bare", { clusterIP: "None" }),
    );
    const seen = await until("the pod to be ready", () => podIPs("six"));
    assert.deepEqual(seen, both, "it is on the node's network");
    await until("its log", async () => {
      return (await cluster.trireme("logs", "six")) === `${both.join()} ${both.join()}\n`;
    });
    const six = { addressType: "IPv6", addresses: ["::1"] };
    await until("an endpoint", async () => (await addressesOf("web"))[0]?.addresses.length === 1);
    assert.deepEqual(await addressesOf("web"), [six]);
    const four = { addressType: "IPv4", addresses: ["127.0.0.1"] };
    const slices = (await addressesOf("web-both")).toSorted((a, b) =>
      (a.addressType ?? "") < (b.addressType ?? "") ? -1 : 1,
    );
    assert.deepEqual(slices, [four, six]);

    const resolver = new Resolver();
    resolver.setServers([`127.0.0.1:${cluster.dnsPort}`]);
    const name = (own: string) => `${own}.default.svc.cluster.local`;
    const found = await until("an answer", async () => resolver.resolve6(name("bare")));
    assert.deepEqual(found, ["::1"]);
    const { spec } = await client.services.get("web-both", "default");
    const [first = "", second = ""] = spec?.clusterIPs ?? [];
    assert.match(first, /^fd00:96::/);
    assert.deepEqual(await resolver.resolve6(name("web-both")), [first]);
    assert.deepEqual(await resolver.resolve4(name("web-both")), [second]);
    await assert.rejects(resolver.resolve4(name("web")), { code: "ENODATA" });

    const nodePort = async (own: string) =>
      (await client.services.get(own, "default")).spec?.ports?.[0]?.nodePort;
    const ask = async (host: string, own: string) => {
      const answer = await fetch(`http://${host}:${await nodePort(own)}/`);
      return answer.text();
    };
    await until("the proxy", async () => (await ask("[::1]", "web")) === "six");
    for (const host of ["[::1]", "127.0.0.1"]) {
      await until("the proxy", async () => (await ask(host, "web-both")) === "six");
    }
    await assert.rejects(ask("127.0.0.1", "web"), "it is a service of IPv6 alone");
  });

  test("a pod of its own has no address at which nothing answers", async () => {
    const port = await freePort();
    await cluster.apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "own", namespace: "default" },
      spec: { containers: [answering(port)] },
    });
    const seen = (await until("the pod to be ready", () => podIPs("own"))) || [];
    assert.match(seen.join(), /^127\.77\.0\.\d+$/);
    await until("its program", async () => {
      return (await (await fetch(`http://${seen[0]}:${port}/`)).text()) === "own";
    });
  });
});
