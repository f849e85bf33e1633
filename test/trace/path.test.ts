/** One trace through the balancer, a master, its webhook and its member. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import { type Balancer, startBalancer } from "../../ha/balancer/mod.ts";
import { call, connect } from "../../ha/rpc/mod.ts";
import { Tracing } from "../../ha/runtime/production/otlp.ts";
import { parseTraceparent } from "../../ha/runtime/trace.ts";
import { ConfigMapsClient } from "../../proto/gen/core.ts";
import { configuration, webhookServer } from "../apiserver/webhook-server.ts";
import { RestClient } from "../balancer/rest-fakes.ts";
import { openRealCluster, type RealCluster } from "../member/real-cluster.ts";
import { eventually } from "../patience.ts";
import { type RestWorld, restWorld } from "../rest/harness.ts";
import { memoryLog } from "../rpc/helpers.ts";
import { type Collector, collector, type SeenSpan } from "./collector.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const clientSpan = "b7ad6b7169203331";
const sampled = `00-${traceId}-${clientSpan}-01`;
const path = "/api/v1/namespaces/default/configmaps";
const json = { "content-type": "application/json" };

describe("a traced request", () => {
  let sink: Collector;
  let members: RealCluster;
  let world: RestWorld;
  let balancer: Balancer;
  const tracings: Tracing[] = [];

  const tracing = (name: string) => {
    const made = new Tracing({
      ...{ endpoint: sink.endpoint, sample: 0, log: memoryLog() },
      service: { name, instance: `${name}-0` },
      limits: { delayMillis: 5 },
    });
    tracings.push(made);
    return made.tracer;
  };

  before(async () => {
    sink = await collector();
    members = await openRealCluster(1);
    world = await restWorld({ store: members.members[0]!, tracer: tracing("trireme-apiserver") });
    const proxy = await world.user("trireme:balancer");
    const own = await world.serverPair();
    const listen = { host: "127.0.0.1", port: 0, tls: { ...own, clientCa: world.ca } };
    const address = `127.0.0.1:${world.server.port}`;
    balancer = await startBalancer({
      ...{ listen, rest: listen, log: memoryLog(), tracer: tracing("trireme-balancer") },
      masters: [{ name: "master-0", address, rest: `127.0.0.1:${world.port}` }],
      upstreamTls: { ca: world.ca, ...proxy },
    });
    await eventually("the master is reached", () => {
      const [master] = balancer.status().masters;
      return master?.healthy === true && master.restConnected === true;
    });
  });

  after(async () => {
    await balancer?.close();
    await world?.[Symbol.asyncDispose]();
    await members?.close();
    for (const each of tracings) await each.close();
    await sink?.[Symbol.asyncDispose]();
  });

  /** Those of one trace, when so many have arrived. */
  async function spansOf(trace: string, ...names: string[]): Promise<SeenSpan[]> {
    const own = () => sink.spans.filter((span) => span.traceId === trace);
    await eventually("the spans arrive", () =>
      names.every((name) => own().some((span) => span.name === name)),
    );
    return own();
  }

  /** By name, each with that of its parent. */
  function tree(spans: readonly SeenSpan[]): Record<string, string> {
    const name = (id: string | undefined) =>
      spans.find(({ spanId }) => spanId === id)?.name ?? (id === clientSpan ? "client" : "nothing");
    return Object.fromEntries(spans.map((span) => [span.name, name(span.parentSpanId)]));
  }

  test("over REST it is one trace, from the client to the member and the webhook", async () => {
    await using hook = await webhookServer();
    const admin = { ca: world.ca, ...world.admin };
    const client = new RestClient(balancer.restPort ?? 0, admin);
    const hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    const made = JSON.stringify(configuration("Validating", hook));
    assert.equal((await client.ask("POST", hooks, { headers: json, body: made })).status, 201);
    const headers = { ...json, traceparent: sampled, "user-agent": "tester/1" };
    const body = JSON.stringify({ metadata: { name: "traced" } });
    const answer = await client.ask("POST", path, { headers, body });
    assert.equal(answer.status, 201);
    const relay = "balancer relay";
    const request = "apiserver create configmaps";
    const spans = await spansOf(traceId, relay, request);
    const webhook = "webhook hook.example.com";
    assert.deepEqual(tree(spans), {
      [relay]: "client",
      "balancer attempt": relay,
      [request]: "balancer attempt",
      "admission mutate": request,
      "admission validate": request,
      [webhook]: "admission validate",
      "store commit": request,
      "store member: proposal to applied": "store commit",
    });
    const named = (name: string) => spans.find((span) => span.name === name)!;
    assert.equal(named(relay).service, "trireme-balancer");
    assert.equal(named(relay).attributes["trireme.master"], "master-0");
    assert.equal(named("balancer attempt").attributes["trireme.attempt"], "1");
    assert.equal(named(request).service, "trireme-apiserver");
    const { attributes } = named(request);
    assert.deepEqual(
      ["k8s.verb", "k8s.resource", "user_agent.original", "http.response.status_code"].map(
        (key) => attributes[key],
      ),
      ["create", "configmaps", "tester/1", "201"],
    );
    const member = named("store member: proposal to applied");
    assert.equal(member.attributes["raft.role"], "leader");
    assert.ok(member.beganAt >= named("store commit").beganAt - 1_000_000n);
    assert.ok(member.endedAt >= member.beganAt);
    const told = parseTraceparent(String(hook.asked[0]?.headers["traceparent"]));
    assert.deepEqual([told?.traceId, told?.spanId], [traceId, named(webhook).spanId]);
    await client.ask("DELETE", `${hooks}/hooks`);
    client.close();
  });

  test("over gRPC it is one trace as well, and its end says how it went", async () => {
    const trace = "1".repeat(32);
    const client = connect(ConfigMapsClient, {
      addresses: [`127.0.0.1:${balancer.port}`],
      tls: { ca: world.ca, ...world.admin },
    });
    const metadata = new Metadata();
    metadata.set("traceparent", `00-${trace}-${clientSpan}-01`);
    const missing = { namespace: "default", name: "none" };
    await assert.rejects(call(client, "get", missing, { metadata }), /not found/);
    client.close();
    const spans = await spansOf(trace, "balancer relay", "apiserver get configmaps");
    assert.deepEqual(tree(spans), {
      "balancer relay": "client",
      "balancer attempt": "balancer relay",
      "apiserver get configmaps": "balancer attempt",
    });
    const [get] = spans.filter(({ name }) => name.startsWith("apiserver"));
    assert.equal(get?.attributes["http.response.status_code"], "404");
    assert.equal(get?.error, undefined, "a refusal is the client's affair");
    const [relay] = spans.filter(({ name }) => name === "balancer relay");
    assert.equal(relay?.attributes["rpc.grpc.status_code"], "5");
  });

  test("a request that is not to be traced, or says nothing, leaves no span", async () => {
    const before = sink.spans.length;
    const admin = { ca: world.ca, ...world.admin };
    const client = new RestClient(balancer.restPort ?? 0, admin);
    const unsampled = { traceparent: `00-${"2".repeat(32)}-${clientSpan}-00` };
    await client.ask("GET", path, { headers: unsampled });
    await client.ask("GET", path);
    const last = "3".repeat(32);
    await client.ask("GET", path, { headers: { traceparent: `00-${last}-${clientSpan}-01` } });
    await spansOf(last, "balancer relay", "apiserver list configmaps");
    client.close();
    const since = sink.spans.slice(before);
    assert.deepEqual(new Set(since.map((span) => span.traceId)), new Set([last]));
  });
});
