/** Which updates create: of kinds whose clients rely on it, as upstream's strategies say. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { restWorld } from "./harness.ts";

test("an update of a lease that is not there creates it, one of a config map does not", async () => {
  await using world = await restWorld();
  const put = (path: string, body: object) => world.ask(path, { method: "PUT", body });
  const leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
  const lease = { metadata: { name: "a" }, spec: { holderIdentity: "x" } };
  const made = await put(`${leases}/a`, lease);
  assert.deepEqual([made.status, made.json.spec.holderIdentity], [201, "x"]);
  const again = await put(`${leases}/a`, lease);
  assert.deepEqual(
    [again.status, again.json.details.causes[0].field],
    [422, "metadata.resourceVersion"],
  );
  const replaced = await put(`${leases}/a`, made.json);
  assert.equal(replaced.status, 200);
  const gone = await put(`${leases}/b`, {
    ...made.json,
    metadata: { ...made.json.metadata, name: "b" },
  });
  assert.equal(gone.status, 404, "a version was named");
  const maps = "/api/v1/namespaces/default/configmaps";
  const map = await put(`${maps}/a`, { metadata: { name: "a" } });
  assert.deepEqual([map.status, map.json.reason], [404, "NotFound"]);
});

test("who may update but not create is refused", async () => {
  await using world = await restWorld();
  const rules = [{ apiGroups: [""], resources: ["limitranges"], verbs: ["update"] }];
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "writer" };
  const subjects = [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "ann" }];
  const role = { metadata: { name: "writer" }, rules };
  await world.ask(`${rbac}/roles`, { method: "POST", body: role });
  const binding = { metadata: { name: "writer" }, roleRef, subjects };
  await world.ask(`${rbac}/rolebindings`, { method: "POST", body: binding });
  const answer = await world.ask("/api/v1/namespaces/default/limitranges/a", {
    method: "PUT",
    headers: { "impersonate-user": "ann" },
    body: { metadata: { name: "a" }, spec: { limits: [] } },
  });
  assert.equal(answer.status, 403);
  assert.match(
    answer.json.message,
    /^limitranges "a" is forbidden: User "ann" cannot create resource/,
  );
});
