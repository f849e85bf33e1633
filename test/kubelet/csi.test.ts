/** Volumes of a CSI driver that is a server in this process, on a real socket. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { Server, ServerCredentials, status } from "@grpc/grpc-js";
import type { PersistentVolume, Pod, Volume } from "../../proto/gen/core.ts";
import { type NodePublishVolumeRequest, NodeService } from "../../proto/gen/csi.ts";
import type { CSIDriver, VolumeAttachment } from "../../proto/gen/storage.ts";
import { CsiDrivers, parseSockets } from "../../services/kubelet/csi/drivers.ts";
import { CsiVolumes } from "../../services/kubelet/csi/volumes.ts";
import { AccountTokens } from "../../services/kubelet/pod/account-tokens.ts";
import type { ConfigSource } from "../../services/kubelet/pod/environment.ts";
import { prepareVolumes } from "../../services/kubelet/pod/volumes.ts";
import { FakeClock } from "./support.ts";

const calls: string[] = [];
const published: NodePublishVolumeRequest[] = [];
const driver = { stages: true, refuses: undefined as string | undefined };
let server: Server;
let dir: string;
let drivers: CsiDrivers;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "trireme-csi-"));
  const path = join(dir, "driver.sock");
  server = new Server();
  const act = async (name: string, request: NodePublishVolumeRequest) => {
    const { targetPath = "", stagingTargetPath = "" } = request;
    if (name === "stage") assert.ok(existsSync(stagingTargetPath));
    if (name === "publish") {
      published.push(request);
      await mkdir(targetPath);
    }
    if (name === "unpublish") await rm(targetPath, { recursive: true });
  };
  const answer =
    (name: string) =>
    async ({ request }: { request: NodePublishVolumeRequest }, done: Done): Promise<void> => {
      calls.push(`${name} ${request.volumeId}`);
      if (driver.refuses === name) return done({ code: status.INTERNAL, details: "no disk" }, null);
      await act(name, request);
      done(null, {});
    };
  type Done = (error: { code: number; details: string } | null, value: object | null) => void;
  server.addService(NodeService, {
    nodeStageVolume: answer("stage"),
    nodeUnstageVolume: answer("unstage"),
    nodePublishVolume: answer("publish"),
    nodeUnpublishVolume: answer("unpublish"),
    nodeGetCapabilities: (_: object, done: Done) =>
      done(null, {
        capabilities: driver.stages ? [{ type: { $case: "rpc", value: { type: 1 } } }] : [],
      }),
  });
  await new Promise<void>((resolve, reject) => {
    const credentials = ServerCredentials.createInsecure();
    server.bindAsync(`unix:${path}`, credentials, (error) => (error ? reject(error) : resolve()));
  });
  drivers = new CsiDrivers(parseSockets(`disk.example.com=${path}`, "--csi-socket"));
});
after(async () => {
  drivers.close();
  server.forceShutdown();
  await rm(dir, { recursive: true });
});
beforeEach(() => {
  calls.splice(0);
  published.splice(0);
  Object.assign(driver, { stages: true, refuses: undefined });
});

const volume: PersistentVolume = {
  metadata: { name: "pv" },
  spec: {
    claimRef: { uid: "claim-uid" },
    accessModes: ["ReadWriteOnce"],
    mountOptions: ["noatime"],
    csi: {
      ...{ driver: "disk.example.com", volumeHandle: "h1", fsType: "ext4" },
      volumeAttributes: { size: "big" },
      nodePublishSecretRef: { name: "key", namespace: "d" },
    },
  },
};
const source = (
  asked: CSIDriver["spec"] = { attachRequired: false },
  attachment?: VolumeAttachment,
): ConfigSource => ({
  configMap: async () => undefined,
  secret: async () => ({ data: { key: Buffer.from("geheim").toString("base64") } }),
  claim: async () => ({
    metadata: { uid: "claim-uid" },
    spec: { volumeName: "pv" },
    status: { phase: "Bound" },
  }),
  volume: async () => volume,
  csiDriver: async () => ({ spec: asked }),
  attachment: async () => attachment,
});

const claimed: Volume = { name: "v", persistentVolumeClaim: { claimName: "c" } };
const inline: Volume = { name: "v", csi: { driver: "disk.example.com", readOnly: true } };

async function prepare(
  pod: string,
  one: Volume,
  from = source(),
  csi = new CsiVolumes(drivers, dir),
) {
  const root = dir;
  const volumesDir = join(root, "pods", pod, "volumes");
  const facts = {
    pod: { metadata: { name: pod, namespace: "d", uid: pod }, spec: { volumes: [one] } } as Pod,
    ...{ podIP: "", hostIP: "", nodeName: "n", hostname: "", nodeCpuMillis: 1, nodeMemoryBytes: 1 },
  };
  const tokens = new AccountTokens(async () => assert.fail("no token"), new FakeClock());
  const paths = await prepareVolumes(facts, volumesDir, from, tokens, false, csi);
  return { path: paths.get("v") ?? "", csi, volumesDir };
}

describe("CSI volumes", () => {
  test("of a claim: staged once for the node, published for each pod, and undone", async () => {
    const a = await prepare("a", claimed);
    const b = await prepare("b", claimed);
    assert.deepEqual(calls, ["stage h1", "publish h1", "stage h1", "publish h1"]);
    assert.equal(a.path, join(a.volumesDir, "v", "mount"));
    const [request] = published;
    assert.equal(request?.readonly ?? false, false);
    assert.deepEqual(request?.secrets, { key: "geheim" });
    assert.deepEqual(request?.volumeContext, { size: "big" });
    assert.equal(request?.volumeCapability?.accessMode?.mode, 1);
    const { accessType } = request?.volumeCapability ?? {};
    assert.deepEqual(accessType, {
      $case: "mount",
      value: { fsType: "ext4", mountFlags: ["noatime"] },
    });
    calls.splice(0);
    await prepare("a", claimed);
    assert.deepEqual(calls, [], "a new kubelet publishes nothing twice");
    await writeFile(join(a.path, "data"), "x");
    await a.csi.release(a.volumesDir, "a");
    assert.deepEqual(calls.splice(0), ["unpublish h1"], "the other pod uses the volume");
    await b.csi.release(b.volumesDir, "b");
    assert.deepEqual(calls.splice(0), ["unpublish h1", "unstage h1"]);
    assert.deepEqual(await readdir(join(dir, "plugins/kubernetes.io/csi/disk.example.com")), []);
    await b.csi.release(b.volumesDir, "b");
    assert.deepEqual(calls, []);
  });

  test("of a pod's own: never staged, and told of the pod where the driver asks", async () => {
    const from = source({ attachRequired: true, podInfoOnMount: true });
    const { csi, volumesDir } = await prepare("own", inline, from);
    assert.match(calls.join(), /^publish csi-[0-9a-f]{64}$/);
    const [request] = published;
    assert.equal(request?.readonly, true);
    assert.equal(request?.volumeContext?.["csi.storage.k8s.io/pod.name"], "own");
    assert.equal(request?.volumeContext?.["csi.storage.k8s.io/ephemeral"], "true");
    await csi.release(volumesDir, "own");
  });

  test("that are attached first: in use on the node, then attached, then mounted", async () => {
    const csi = new CsiVolumes(drivers, dir);
    const changes: string[][] = [];
    csi.changed = () => changes.push(csi.inUse());
    const name = "kubernetes.io/csi/disk.example.com^h1";
    const refused = (attachment: VolumeAttachment | undefined, message: RegExp) =>
      assert.rejects(prepare("at", claimed, source({}, attachment), csi), { message });
    await refused(undefined, /volume attachment csi-[0-9a-f]{64} of volume h1 is not there yet/);
    assert.deepEqual(changes.at(-1), [name]);
    await refused({ status: { attached: false } }, /volume h1 is not attached to node n yet/);
    await refused({ status: { attachError: { message: "no slot" } } }, /no slot/);
    const leaving = { metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" } };
    await refused({ ...leaving, status: { attached: true } }, /is being deleted/);
    const attached = { status: { attached: true, attachmentMetadata: { device: "/dev/x" } } };
    await refused(attached, /has not been added to the list of volumesInUse/);
    assert.deepEqual(calls, [], "the driver has been asked nothing");
    csi.shown([name]);
    const { volumesDir } = await prepare("at", claimed, source({}, attached), csi);
    assert.deepEqual(calls.splice(0), ["stage h1", "publish h1"]);
    assert.deepEqual(published[0]?.publishContext, { device: "/dev/x" });
    const next = new CsiVolumes(drivers, dir);
    await next.load(join(dir, "pods"));
    assert.deepEqual(next.inUse(), [name], "a new kubelet knows what is mounted");
    await csi.release(volumesDir, "at");
    assert.deepEqual([changes.at(-1), csi.inUse()], [[], []]);
  });

  test("what goes wrong is told, and what was begun is undone", async () => {
    driver.stages = false;
    driver.refuses = "publish";
    await assert.rejects(prepare("bad", claimed), {
      name: "ContainerConfigError",
      message: 'failed for volume "v" : rpc error: code = Internal desc = no disk',
    });
    driver.refuses = undefined;
    const { csi, volumesDir, path } = await prepare("bad", claimed);
    await writeFile(join(path, "data"), "precious");
    driver.refuses = "unpublish";
    await assert.rejects(csi.release(volumesDir, "bad"), /no disk/);
    assert.equal(await readFile(join(path, "data"), "utf8"), "precious", "nothing is deleted");
    driver.refuses = undefined;
    await csi.release(volumesDir, "bad");
    const unknown = { name: "v", csi: { driver: "other" } };
    await assert.rejects(prepare("x", unknown), {
      message: /driver name other not found in the list of registered CSI drivers$/,
    });
    for (const bad of ["x", "=/a", "a=rel"]) {
      assert.throws(() => parseSockets(bad, "--csi-socket"), /--csi-socket: "/, bad);
    }
  });
});
