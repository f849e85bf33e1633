/** What a client may ask while no master is ready: who serves here, and how they are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ServiceError, status } from "@grpc/grpc-js";
import { type ClientConstructor, call } from "../../ha/rpc/mod.ts";
import { Code } from "../../ha/runtime/status-error.ts";
import { LeasesClient } from "../../proto/gen/coordination.ts";
import { HealthClient } from "../../proto/gen/health.ts";
import {
  type ServerReflectionResponse,
  ServerReflectionClient as V1,
} from "../../proto/gen/reflection_v1.ts";
import { ServerReflectionClient as V1Alpha } from "../../proto/gen/reflection_v1alpha.ts";
import { eventually } from "../patience.ts";
import { startWire, useCluster } from "./fakes.ts";

const begin = useCluster();

/** The services that reflection lists; rejects with what the call fails with. */
function list(client: InstanceType<typeof V1> | InstanceType<typeof V1Alpha>): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const stream = client.serverReflectionInfo();
    stream.on("data", ({ messageResponse: response }: ServerReflectionResponse) => {
      const services = response?.$case === "listServicesResponse" ? response.value.service : [];
      resolve((services ?? []).map(({ name }) => name ?? ""));
      stream.end();
    });
    stream.on("error", (error: ServiceError) => reject(error));
    stream.write({ messageRequest: { $case: "listServices", value: "" } });
  });
}

const versions: readonly ClientConstructor<
  InstanceType<typeof V1> | InstanceType<typeof V1Alpha>
>[] = [V1, V1Alpha];

test("a master that is not ready answers reflection and health", async () => {
  const { masters, client, healthy } = await begin();
  for (const master of masters) master.set({ ready: false });
  await eventually("none is ready", () => healthy() === 0);
  for (const Version of versions) {
    assert.ok((await list(client(Version))).includes("trireme.coordination.v1.Leases"));
  }
  // The master's own words: these have no health service.
  await assert.rejects(call(client(HealthClient), "check", { service: "x" }), {
    code: Code.unimplemented,
  });
});

test("a serving master is preferred, and a silent one is not asked", async () => {
  const wires: Awaited<ReturnType<typeof startWire>>[] = [];
  const { masters, client, balancer, healthy } = await begin({
    limits: { waitMillis: 60_000 },
    async portOf(master) {
      const wire = await startWire(master);
      wires.push(wire);
      return wire.port;
    },
  });
  const attempts = () => balancer.status().masters.map((master) => master.attempts);
  masters[0].set({ ready: false });
  masters[1].set({ ready: false });
  await eventually("one is ready", () => healthy() === 1);
  for (let n = 0; n < 3; n++) await list(client(V1));
  assert.deepEqual(attempts(), [0, 0, 3]);
  masters[2].set({ ready: false });
  await eventually("none is ready", () => healthy() === 0);
  wires[0]?.freeze();
  await eventually("one is silent", () => balancer.status().masters[0]?.silent === true);
  for (let n = 0; n < 6; n++) await list(client(V1));
  assert.deepEqual([attempts()[0], attempts().reduce((sum, each) => sum + each, 0)], [0, 9]);
  wires[1]?.freeze();
  wires[2]?.freeze();
  const all = () => balancer.status().masters.every(({ silent }) => silent);
  await eventually("all are silent", all);
  await assert.rejects(list(client(V1)), (error: ServiceError) => {
    assert.deepEqual(
      [error.code, error.details],
      [status.UNAVAILABLE, "no master is connected and answers"],
    );
    return true;
  });
  assert.equal(balancer.status().waiting, 0);
  for (const wire of wires) wire.close();
});

test("without a master these fail at once, and other calls wait", async () => {
  const { masters, client, balancer, healthy } = await begin({ limits: { waitMillis: 60_000 } });
  for (const master of masters) await master.kill();
  await eventually("all are gone", () => healthy() === 0);
  const read = call(client(LeasesClient), "get", {});
  read.catch(() => {});
  await eventually("it waits", () => balancer.status().waiting === 1);
  await assert.rejects(list(client(V1)), { code: status.UNAVAILABLE });
  await assert.rejects(call(client(HealthClient), "check", { service: "x" }), {
    code: Code.unavailable,
  });
  assert.equal(balancer.status().waiting, 1);
  await masters[0].start();
  await eventually("one is ready", () => healthy() === 1);
  await read;
});
