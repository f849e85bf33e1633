/** The nftables mode against a real kernel: a node, its pods and a neighbour, without a cluster. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import type { Pod, Service } from "../../proto/gen/core.ts";
import type { Endpoint, EndpointSlice } from "../../proto/gen/discovery.ts";
import type { NetworkPolicySpec } from "../../proto/gen/networking.ts";
import { NftablesProxy } from "../../services/kube-proxy/nftables/mod.ts";
import { restrictionsOf } from "../../services/kube-proxy/policies/plan.ts";
import { policyTable } from "../../services/kube-proxy/policies/table.ts";
import { type Route, routesOf } from "../../services/kube-proxy/routes.ts";
import { silent } from "../kubelet/support.ts";
import { patienceMillis } from "../patience.ts";
import { needsNamespaces } from "./namespaces.ts";
import { needs } from "./needs.ts";
import { type Host, type Reply, ServiceNetwork } from "./service-network.ts";

const prefix = `nf${process.pid % 1000}`;
const nft = needs("nft", "nftables");
const conntrack = needs("conntrack", "conntrack");
const namespaces = needsNamespaces(prefix);
const skip = nft.skip || conntrack.skip || namespaces.skip;

const clusterIP = "10.96.0.10";

describe("services in nftables", { skip }, () => {
  let network: ServiceNetwork;
  let proxy: NftablesProxy;
  let one: Host;
  let two: Host;
  let neighbour: Host;
  let node: Host;

  before(async () => {
    network = new ServiceNetwork(prefix);
    node = network.node;
    neighbour = network.addHost("out", 1);
    one = network.addHost("one", 2);
    two = network.addHost("two", 3);
    await Promise.all([one, two].map((host) => network.serve(host, [8080])));
    proxy = new NftablesProxy({
      run: network.runInNode,
      ...{ clock: productionClock, log: silent, nodePortAddresses: [node.address] },
      family: "IPv4",
    });
  });
  after(async () => {
    await proxy?.close();
    network?.close();
  });

  const scope = {
    place: { node: "n1", zone: undefined },
    nodesHere: new Set(["n1"]),
    clusterRange: "10.77.2.0/23",
  };

  function routes(spec: Service["spec"], endpoints: Endpoint[], more = {}): readonly Route[] {
    const protocol = spec?.ports?.[0]?.protocol ?? "TCP";
    const slice: EndpointSlice = {
      addressType: "IPv4",
      endpoints,
      ports: [{ name: "", port: 8080, protocol }],
    };
    const base = { clusterIP, ports: [{ port: 80, nodePort: 30_080 }] };
    const service = { metadata: { namespace: "d", name: "web" }, spec: { ...base, ...spec } };
    return routesOf({ ...service, ...more }, [slice]);
  }
  const at = (host: Host, nodeName: string): Endpoint => ({ addresses: [host.address], nodeName });
  const both = () => [at(one, "n1"), at(two, "n2")];
  const apply = (spec: Service["spec"], endpoints: Endpoint[], more = {}) =>
    proxy.apply(routes(spec, endpoints, more), scope);

  /** The names of those who answer, and how the client looks to them. */
  async function seen(from: Host, ip: string, port: number, times = 16) {
    const replies: Reply[] = [];
    for (let i = 0; i < times; i++) replies.push(await network.ask(from, "tcp", ip, port));
    const parts = replies.map(({ text, error }) => (error === "" ? text.split(" ") : [error, ""]));
    const sorted = (column: number) =>
      [...new Set(parts.map((part) => (part[column] ?? "").replace("::ffff:", "")))].sort();
    return { names: sorted(0), clients: sorted(1) };
  }

  test("a cluster IP, from pods, from the node and from elsewhere", async () => {
    await apply({}, both());
    const names = [one.name, two.name].sort();
    const fromPod = await seen(one, clusterIP, 80);
    assert.deepEqual(fromPod.names, names);
    // An endpoint that comes to itself sees the node, any other sees the pod.
    assert.ok(fromPod.clients.includes(one.address), fromPod.clients.join());
    assert.deepEqual((await seen(node, clusterIP, 80)).names, names);
    const outer = await seen(neighbour, clusterIP, 80);
    assert.deepEqual(outer.names, names);
    assert.ok(!outer.clients.includes(neighbour.address), "it is hidden behind the node");
  });

  test("what is not there is refused, not dropped", async () => {
    assert.equal((await network.ask(one, "tcp", clusterIP, 81)).error, "ECONNREFUSED");
    assert.equal((await network.ask(node, "tcp", clusterIP, 81)).error, "ECONNREFUSED");
    await apply({ type: "NodePort" }, []);
    assert.equal((await network.ask(one, "tcp", clusterIP, 80)).error, "ECONNREFUSED");
    assert.equal((await network.ask(node, "tcp", clusterIP, 80)).error, "ECONNREFUSED");
    const { error } = await network.ask(neighbour, "tcp", node.address, 30_080);
    assert.equal(error, "ECONNREFUSED");
  });

  test("a node port hides its client; with policy Local it does not", async () => {
    await apply({ type: "NodePort" }, both());
    const open = await seen(neighbour, node.address, 30_080);
    assert.deepEqual(open.names, [one.name, two.name].sort());
    assert.ok(!open.clients.includes(neighbour.address));
    await apply({ type: "NodePort", externalTrafficPolicy: "Local" }, both());
    const local = await seen(neighbour, node.address, 30_080);
    assert.deepEqual(local, { names: [one.name], clients: [neighbour.address] });
    await apply({ type: "NodePort", externalTrafficPolicy: "Local" }, [at(two, "n2")]);
    assert.equal((await network.ask(neighbour, "tcp", node.address, 30_080)).error, "ETIMEDOUT");
  });

  test("affinity keeps a client with its endpoint", async () => {
    const sticky = (timeoutSeconds: number) => ({
      sessionAffinity: "ClientIP",
      sessionAffinityConfig: { clientIP: { timeoutSeconds } },
    });
    await apply(sticky(60), both());
    const { names } = await seen(neighbour, clusterIP, 80);
    assert.equal(names.length, 1);
    // Another time is another set; then the endpoint goes.
    await apply(sticky(90), both());
    const again = await seen(neighbour, clusterIP, 80);
    assert.equal(again.names.length, 1);
    const other = again.names[0] === one.name ? two : one;
    await apply(sticky(90), [at(other, "n1")]);
    assert.deepEqual((await seen(neighbour, clusterIP, 80)).names, [other.name]);
  });

  test("a balancer's address is for the clients of its ranges", async () => {
    const balanced = (range: string) => ({
      type: "LoadBalancer",
      loadBalancerSourceRanges: [range],
    });
    const status = { status: { loadBalancer: { ingress: [{ ip: "192.0.2.9" }] } } };
    await apply(balanced("10.77.1.0/24"), both(), status);
    assert.equal((await network.ask(neighbour, "tcp", "192.0.2.9", 80)).error, "");
    await apply(balanced("198.51.100.0/24"), both(), status);
    assert.equal((await network.ask(neighbour, "tcp", "192.0.2.9", 80)).error, "ETIMEDOUT");
  });

  test("datagrams of one client go over when their endpoint goes", async () => {
    const udp = { ports: [{ port: 80, protocol: "UDP" }] };
    await apply(udp, [at(one, "n1")]);
    const ask = () => network.ask(neighbour, "udp", clusterIP, 80, 40_404);
    assert.match((await ask()).text, new RegExp(one.name));
    await apply(udp, [at(two, "n1")]);
    assert.match((await ask()).text, new RegExp(two.name));
  });

  test("ten thousand endpoints, another service beside them, and nothing is left", async () => {
    const many = Array.from({ length: 9_999 }, (_, i) => ({
      addresses: [`10.200.${i >> 8}.${i & 255}`],
    }));
    const big = routes({}, [...many, at(one, "n1")]);
    const small = routesOf(
      {
        metadata: { namespace: "d", name: "b" },
        spec: { clusterIP: "10.96.0.11", ports: [{ port: 80 }] },
      },
      [
        {
          addressType: "IPv4",
          endpoints: [at(two, "n1")],
          ports: [{ name: "", port: 8080, protocol: "TCP" }],
        },
      ],
    );
    await proxy.apply([...big, ...small], scope);
    assert.match(network.inNode("nft", "list", "table", "ip", "kube-proxy"), /mod 10000 map/);
    assert.deepEqual((await seen(one, "10.96.0.11", 80, 2)).names, [two.name]);
    await proxy.apply([], scope);
    const chains = () => network.inNode("nft", "list", "table", "ip", "kube-proxy");
    const deadline = Date.now() + patienceMillis;
    while (
      /service-|endpoint-|affinity-/.test(
        chains().replace(/(service-(ips|nodeports))|no-endpoint-\w+/g, ""),
      )
    ) {
      assert.ok(Date.now() < deadline, chains());
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  });

  test("network policies", async () => {
    await apply({}, [at(one, "n1")]);
    const pod = ({ name, address }: Host, nodeName: string): Pod => ({
      metadata: { name, namespace: "d", labels: { name } },
      spec: { nodeName, containers: [{ name: "c" }] },
      status: { podIP: address, phase: "Running" },
    });
    const pods = [pod(one, "n1"), pod(two, "n1")];
    const enforce = async (...specs: NetworkPolicySpec[]) => {
      const policies = specs.map((spec) => ({ metadata: { name: "p", namespace: "d" }, spec }));
      const world = { policies, pods, namespaces: [], nodeName: "n1", family: "IPv4" } as const;
      const text = policyTable(restrictionsOf(world), "IPv4");
      await network.runInNode("nft", ["-f", "-"], text).then(({ stderr }) => {
        assert.equal(stderr, "");
      });
    };
    const errors = async () =>
      Promise.all(
        [two, neighbour, node].map(async (from) => {
          return (await network.ask(from, "tcp", clusterIP, 80)).error;
        }),
      );
    const podSelector = { matchLabels: { name: one.name } };
    const fromTwo = { podSelector: { matchLabels: { name: two.name } } };
    await enforce({ podSelector });
    assert.deepEqual(await errors(), ["ETIMEDOUT", "ETIMEDOUT", ""], "the node is let in");
    await enforce({ podSelector, ingress: [{ from: [fromTwo], ports: [{ port: 8080 }] }] });
    assert.deepEqual(await errors(), ["", "ETIMEDOUT", ""]);
    await enforce({ podSelector, ingress: [{ from: [fromTwo], ports: [{ port: 80 }] }] });
    assert.deepEqual(await errors(), ["ETIMEDOUT", "ETIMEDOUT", ""], "the pod's own port counts");
    const block = { cidr: "10.77.0.0/16", except: [`${two.address}/32`] };
    await enforce({ podSelector, ingress: [{ from: [{ ipBlock: block }] }] });
    assert.deepEqual(await errors(), ["ETIMEDOUT", "", ""]);
    const selectTwo = { matchLabels: { name: two.name } };
    await enforce({ podSelector: selectTwo, policyTypes: ["Egress"] });
    assert.deepEqual(await errors(), ["ETIMEDOUT", "", ""]);
    await enforce();
    assert.deepEqual(await errors(), ["", "", ""]);
  });

  test("a service of both families, its policies included", async () => {
    const options = { run: network.runInNode, clock: productionClock, log: silent };
    const sixth = new NftablesProxy({
      ...options,
      family: "IPv6",
      nodePortAddresses: [node.address6],
    });
    const clusterIP6 = "fd96::10";
    const at6 = (host: Host, nodeName: string) => ({ addresses: [host.address6], nodeName });
    const scope6 = { ...scope, clusterRange: "fd77:2::/31" };
    const applyBoth = async (protocol: string, more: Service["spec"], ...hosts: Host[]) => {
      const nodeOf = (host: Host) => (host === one ? "n1" : "n2");
      const ports = [{ name: "", port: 8080, protocol }];
      const slices: EndpointSlice[] = [
        { addressType: "IPv4", endpoints: hosts.map((host) => at(host, nodeOf(host))), ports },
        { addressType: "IPv6", endpoints: hosts.map((host) => at6(host, nodeOf(host))), ports },
      ];
      const spec = {
        ...{ clusterIP: clusterIP6, clusterIPs: [clusterIP6, clusterIP], type: "NodePort" },
        ports: [{ port: 80, nodePort: 30_080, protocol }],
        ...more,
      };
      const found = routesOf({ metadata: { namespace: "d", name: "web" }, spec }, slices);
      const own = (family: string) => found.filter((route) => route.family === family);
      await Promise.all([proxy.apply(own("IPv4"), scope), sixth.apply(own("IPv6"), scope6)]);
    };
    const names = [one.name, two.name].sort();
    try {
      await applyBoth("TCP", {}, one, two);
      for (const address of [clusterIP, clusterIP6]) {
        assert.deepEqual((await seen(one, address, 80)).names, names);
        assert.deepEqual((await seen(node, address, 80)).names, names);
        const outer = await seen(neighbour, address, 80);
        assert.deepEqual(outer.names, names);
        assert.ok(outer.clients.every((client) => !client.includes(neighbour.address6)));
      }
      assert.deepEqual((await seen(neighbour, node.address6, 30_080)).names, names);
      assert.equal((await network.ask(one, "tcp", clusterIP6, 81)).error, "ECONNREFUSED");
      await applyBoth("TCP", { externalTrafficPolicy: "Local" }, one, two);
      const local = await seen(neighbour, node.address6, 30_080);
      assert.deepEqual(local, { names: [one.name], clients: [neighbour.address6] });
      await applyBoth("TCP", { sessionAffinity: "ClientIP" }, one, two);
      assert.equal((await seen(neighbour, clusterIP6, 80)).names.length, 1);
      await applyBoth("UDP", {}, one);
      const ask = () => network.ask(neighbour, "udp", clusterIP6, 80, 40_406);
      assert.match((await ask()).text, new RegExp(one.name));
      await applyBoth("UDP", {}, two);
      assert.match((await ask()).text, new RegExp(two.name));
      await applyBoth("TCP", {}, one);
      const pod: Pod = {
        metadata: { name: "two", namespace: "d" },
        spec: { nodeName: "n1", containers: [{ name: "c" }] },
        status: { podIPs: [{ ip: two.address }, { ip: two.address6 }], phase: "Running" },
      };
      const closed = { podSelector: {}, policyTypes: ["Egress"] };
      const policies = [{ metadata: { name: "p", namespace: "d" }, spec: closed }];
      const world = { policies, pods: [pod], namespaces: [], nodeName: "n1" };
      const plan = restrictionsOf({ ...world, family: "IPv6" });
      const { stderr } = await network.runInNode("nft", ["-f", "-"], policyTable(plan, "IPv6"));
      assert.equal(stderr, "");
      assert.equal((await network.ask(two, "tcp", clusterIP6, 80)).error, "ETIMEDOUT");
      assert.equal((await network.ask(neighbour, "tcp", clusterIP6, 80)).error, "");
    } finally {
      await sixth.close();
    }
  });

  test("a table that another program took away comes back", async () => {
    await apply({}, both());
    network.inNode("nft", "delete", "table", "ip", "kube-proxy");
    await apply({}, [at(one, "n1")]);
    const deadline = Date.now() + patienceMillis;
    for (;;) {
      const { text } = await network.ask(two, "tcp", clusterIP, 80);
      if (text.startsWith(one.name)) break;
      assert.ok(Date.now() < deadline);
    }
  });
});
