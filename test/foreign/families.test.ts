/** A cluster whose first family is IPv6, on a machine that answers at its pods' addresses of both. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { until } from "../e2e/cluster.ts";
import { answering, FamilyCluster } from "../e2e/family-cluster.ts";
import { addRoute, makeLonely, needsNamespaces, removeMachines, within } from "./namespaces.ts";
import { needs } from "./needs.ts";

const prefix = `fa${process.pid}`;
const machine = `${prefix}n`;
const skip = needs("nft", "nftables").skip || needsNamespaces(prefix).skip;
const [services, pods] = ["fd00:96::/112,10.96.0.0/16", "fd00:64::/48,10.77.0.0/16"];

/** Asks for a name as programs do, and for the page of each address that it has. */
const asking = `const { resolve4, resolve6 } = require("node:dns/promises");
(async () => {
  const name = "web.default.svc.cluster.local";
  for (const host of [...(await resolve6(name)), ...(await resolve4(name))]) {
    const at = host.includes(":") ? "[" + host + "]" : host;
    console.log(host, await (await fetch("http://" + at + "/")).text());
  }
})().catch((error) => {
  console.log(error.message, error.cause?.message);
  process.exitCode = 1;
});`;

describe("pods of IPv6 and IPv4 behind nftables", { concurrency: 1, skip }, () => {
  const cluster = new FamilyCluster({
    ...{ services, pods, clusterDns: "fd00:96::a" },
    enter: (command) => ["nsenter", ...within(machine, command)],
    proxyArgs: ["--proxy-mode", "nftables", "--cluster-cidr", pods],
  });

  before(async () => {
    makeLonely(machine);
    // What a machine needs so that its programs may listen on addresses of IPv6 that are not its own.
    const sysctl = "echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind";
    execFileSync("nsenter", within(machine, ["sh", "-c", sysctl]));
    for (const range of [...services.split(","), ...pods.split(",")]) {
      addRoute(machine, ["local", range, "dev", "lo"]);
    }
    // The kernel hides clients of IPv4 behind no address of loopback.
    execFileSync("ip", ["-n", machine, "address", "add", "10.213.8.1/32", "dev", "lo"]);
    await cluster.start().catch((error: Error) => {
      throw new Error(`${error.message}${cluster.said()}`);
    });
  });
  after(async () => {
    await cluster[Symbol.asyncDispose]();
    removeMachines([machine]);
  });

  const statusOf = async (name: string) =>
    JSON.parse(await cluster.trireme("get", "pod", name, "-o", "json")).status;

  test("have an address of each, of IPv6 first, and are reached at a service's", async () => {
    const service = {
      ...{ apiVersion: "v1", kind: "Service", metadata: { name: "web", namespace: "default" } },
      spec: {
        selector: { app: "web" },
        ports: [{ port: 80, targetPort: 8080 }],
        ipFamilyPolicy: "RequireDualStack",
      },
    };
    const pod = (name: string, container: object) => ({
      ...{ apiVersion: "v1", kind: "Pod" },
      metadata: { name, namespace: "default", labels: { app: name } },
      spec: { restartPolicy: "OnFailure", containers: [container] },
    });
    await cluster.apply(pod("web", answering(8080)), service);
    const { podIP, podIPs } = await until("the pod to run", async () => {
      const status = await statusOf("web");
      return status?.phase === "Running" && status;
    });
    assert.equal(podIPs.length, 2);
    assert.match(podIP, /^fd00:64::/);
    assert.equal(podIPs[0].ip, podIP);
    assert.match(podIPs[1].ip, /^10\.77\.0\./);
    // It runs again until the proxy knows of the service.
    const command = [process.execPath, "-e", asking];
    await cluster.apply(pod("asks", { name: "c", image: "node", command }));
    await until("the service's answers", async () => {
      if ((await statusOf("asks"))?.phase === "Succeeded") return true;
      throw new Error(await cluster.trireme("logs", "asks"));
    });
    const said = await cluster.trireme("logs", "asks");
    assert.match(said, /^fd00:96::\S+ web\n10\.96\.\S+ web\n$/);
    for (const [family, address] of [
      ["ip6", `${podIP}`],
      ["ip", `${podIPs[1].ip}`],
    ] as const) {
      const nft = ["nft", "list", "table", family, "kube-proxy"];
      assert.ok((await cluster.run(nft)).includes(address), `${address} is in the kernel's table`);
    }
  });
});
