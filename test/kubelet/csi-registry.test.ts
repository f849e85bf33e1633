/** CSI drivers that register by a socket, with the apiserver's CSINode behind. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { productionClock } from "../../ha/runtime/production/clock.ts";
import { NodeService } from "../../proto/gen/csi.ts";
import {
  RegistrationService,
  type RegistrationStatus,
} from "../../proto/gen/plugin_registration.ts";
import { NodeDrivers } from "../../services/kubelet/csi/csi-node.ts";
import { CsiDrivers } from "../../services/kubelet/csi/drivers.ts";
import { CsiRegistry } from "../../services/kubelet/csi/registry.ts";
import { RealApi } from "../client/real-api.ts";
import { eventually } from "../patience.ts";
import { silent } from "./support.ts";

let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), "trireme-plugins-"));
});
after(() => rm(dir, { recursive: true }));

const plugins: { stop(): Promise<void> }[] = [];
type Done = (error: null, value: object) => void;

/** A driver and its registrar on one socket; notes what it is told. */
async function servePlugin(name: string, type = "CSIPlugin") {
  const told: RegistrationStatus[] = [];
  const server = new Server();
  server.addService(RegistrationService, {
    getInfo: (_: object, done: Done) => {
      const endpoint = join(dir, `${name}.sock`);
      done(null, { type, name, endpoint, supportedVersions: ["1.0.0"] });
    },
    notifyRegistrationStatus: ({ request }: { request: RegistrationStatus }, done: Done) => {
      told.push(request);
      done(null, {});
    },
  });
  const absent = (_: object, done: (error: Error) => void) => done(new Error("not asked"));
  server.addService(NodeService, {
    ...{ nodeStageVolume: absent, nodeUnstageVolume: absent, nodePublishVolume: absent },
    ...{ nodeUnpublishVolume: absent, nodeGetCapabilities: absent },
    nodeGetInfo: (_: object, done: Done) => {
      const accessibleTopology = { segments: { "topology.example.com/zone": "a" } };
      done(null, { nodeId: "machine-7", maxVolumesPerNode: 16, accessibleTopology });
    },
  });
  await new Promise<void>((resolve, reject) => {
    const path = `unix:${join(dir, `${name}.sock`)}`;
    const credentials = ServerCredentials.createInsecure();
    server.bindAsync(path, credentials, (error) => (error ? reject(error) : resolve()));
  });
  const stop = async () => {
    server.forceShutdown();
    await rm(join(dir, `${name}.sock`), { force: true });
  };
  const plugin = { told, stop };
  plugins.push(plugin);
  return plugin;
}

test("a driver enters CSINode and Node with its socket, and leaves with it", async (t) => {
  const clock = productionClock;
  const api = await RealApi.open();
  const client = api.client();
  const drivers = new CsiDrivers(new Map());
  await client.nodes.create({ metadata: { name: "n1" } });
  const own = new NodeDrivers(client, "n1", clock);
  const registry = new CsiRegistry({
    ...{ directory: dir, drivers, clock, log: silent },
    added: (driver, info) => own.add(driver, info),
    removed: (driver) => own.remove(driver),
  });
  t.after(async () => {
    registry.close();
    await Promise.all(plugins.splice(0).map((plugin) => plugin.stop()));
    drivers.close();
    await api.close();
  });
  const early = await servePlugin("early.example.com");
  await registry.start();
  assert.deepEqual(early.told, [{ pluginRegistered: true }]);
  assert.ok(drivers.client("early.example.com"));
  const late = await servePlugin("late.example.com");
  await eventually("the late driver is told", () => late.told.length === 1);
  const stored = await client.resource("CSINode").get("n1");
  assert.equal(stored.metadata?.ownerReferences?.[0]?.kind, "Node");
  assert.deepEqual(stored.spec?.drivers, [
    {
      ...{ name: "early.example.com", nodeID: "machine-7" },
      ...{ topologyKeys: ["topology.example.com/zone"], allocatable: { count: 16 } },
    },
    {
      ...{ name: "late.example.com", nodeID: "machine-7" },
      ...{ topologyKeys: ["topology.example.com/zone"], allocatable: { count: 16 } },
    },
  ]);
  const node = await client.nodes.get("n1");
  assert.equal(node.metadata?.labels?.["topology.example.com/zone"], "a");
  assert.deepEqual(
    JSON.parse(node.metadata?.annotations?.["csi.volume.kubernetes.io/nodeid"] ?? ""),
    { "early.example.com": "machine-7", "late.example.com": "machine-7" },
  );
  await early.stop();
  await eventually("one driver is left", async () => {
    const { spec } = await client.resource("CSINode").get("n1");
    return spec?.drivers?.length === 1;
  });
  assert.throws(() => drivers.client("early.example.com"), /not found in the list/);
  const other = await servePlugin("gpu", "DevicePlugin");
  await eventually("the other plugin is told", () => other.told.length === 1);
  assert.deepEqual(other.told, [{ error: 'plugins of type "DevicePlugin" are not taken here' }]);
});
