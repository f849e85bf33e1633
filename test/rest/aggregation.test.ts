/** The rights of the default roles grow and shrink with the roles that are labelled into them. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import type { KeyPair } from "../../services/apiserver/pki/mod.ts";
import { connectClient, InformerFactory, type TriremeClient } from "../../services/client/mod.ts";
import { clusterRoleAggregation } from "../../services/controllers/clusterrole-aggregation.ts";
import { ControllerManager } from "../../services/controllers/manager.ts";
import { quietLog } from "../client/quiet-log.ts";
import { eventually } from "../patience.ts";
import { type Ask, type RestWorld, restWorld } from "./harness.ts";

let world: RestWorld;
let client: TriremeClient;
let working: Promise<void>;
let ann: KeyPair;
const stop = new AbortController();
const group = "rbac.authorization.k8s.io";
const rbac = `/apis/${group}/v1`;
const merge = { "content-type": "application/merge-patch+json" };

before(async () => {
  world = await restWorld();
  const log = quietLog;
  const tls = { ca: world.ca, ...world.admin };
  client = connectClient({ servers: [`127.0.0.1:${world.server.port}`], tls, log });
  const clock = productionClock;
  const informers = new InformerFactory({ client, log, clock });
  const controllers = [clusterRoleAggregation(1)];
  const manager = new ControllerManager({ client, informers, controllers, log, clock });
  informers.start(stop.signal);
  working = manager.lead(undefined, stop.signal);
  ann = await world.user("ann");
  const roleRef = { apiGroup: group, kind: "ClusterRole", name: "admin" };
  const body = { metadata: { name: "ann" }, roleRef, subjects: [{ kind: "User", name: "ann" }] };
  await asked(`${rbac}/namespaces/default/rolebindings`, { method: "POST", body }, 201);
});
after(async () => {
  stop.abort();
  await working;
  client.close();
  await world[Symbol.asyncDispose]();
});

async function asked(path: string, ask: Ask, status: number): Promise<void> {
  const answer = await world.ask(path, ask);
  assert.equal(answer.status, status, answer.text);
}

/** Nothing serves the widgets: a user who may see them is told that there are none. */
async function mayList(expected: boolean): Promise<void> {
  const path = "/apis/example.com/v1/namespaces/default/widgets";
  const what = expected ? "the right to list widgets" : "the end of that right";
  const status = expected ? 404 : 403;
  const done = async () => (await world.ask(path, { as: ann })).status === status;
  await eventually(what, done);
}

const patched = (patch: object) =>
  asked(`${rbac}/clusterroles/widgets`, { method: "PATCH", body: patch, headers: merge }, 200);
const label = (aggregate: string, value: string | null) =>
  patched({ metadata: { labels: { [`${group}/aggregate-to-${aggregate}`]: value } } });
const rule = (...resources: string[]) => ({
  ...{ apiGroups: ["example.com"], resources, verbs: ["get", "list", "watch"] },
});

test("a label gives admin the rules of a role, its removal takes them away", async () => {
  await mayList(false);
  const body = { metadata: { name: "widgets" }, rules: [rule("widgets")] };
  await asked(`${rbac}/clusterroles`, { method: "POST", body }, 201);
  await mayList(false);
  await label("admin", "true");
  await mayList(true);
  await label("admin", null);
  await mayList(false);
});

test("admin has what view and edit are given, as long as the role has it", async () => {
  await label("view", "true");
  await mayList(true);
  await patched({ rules: [rule("gadgets")] });
  await mayList(false);
  await patched({ rules: [rule("gadgets"), rule("widgets")] });
  await mayList(true);
  await asked(`${rbac}/clusterroles/widgets`, { method: "DELETE" }, 200);
  await mayList(false);
});
