/** The contract of container runtimes, held to processes whose images are trees of their own. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createProcessRuntime } from "../../services/kubelet/runtime/process/mod.ts";
import { containerRuntimeContract } from "../contract/container-runtime.ts";
import { silent } from "../kubelet/support.ts";
import { patienceMillis } from "../patience.ts";
import { writeLayout } from "./image-layout.ts";
import { needs } from "./needs.ts";

const missing = needs("busybox", "busybox-static").skip;
const skip = missing !== false || process.getuid?.() === 0 ? missing : "skipped: needs root";

describe("images unpacked for processes", { concurrency: 1, skip }, () => {
  const directory = mkdtempSync(join(tmpdir(), "trireme-images-"));

  before(() => {
    const images = join(directory, "images");
    mkdirSync(images);
    writeLayout(join(images, "first"), [
      { names: ["docker.io/library/label:latest"] },
      {
        names: ["localhost/user:1"],
        command: ["sh", "-c", "id -u; id -g; pwd; echo $WORD; ls /; exit 3"],
        user: "user",
        workingDir: "/made/here",
        env: ["WORD=from the image"],
      },
    ]);
    writeLayout(
      join(images, "others"),
      [{ names: ["docker.io/library/other:1"] }, { names: ["docker.io/library/other:2"] }],
      true,
    );
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const open = (root: string) =>
    createProcessRuntime({ root, imageRoot: join(directory, "images"), log: silent });
  containerRuntimeContract("process with images", open, {
    shared: (dir) => [{ hostPath: dir, containerPath: dir, readOnly: false }],
    noCommand: { image: "other:2", error: /no command specified/ },
  });

  test("a container is what its image says, in a root of its own", async () => {
    const runtime = open(join(directory, "state"));
    await runtime.load();
    const uid = "12121212-0000-0000-0000-000000000001";
    const name = { namespace: "d", name: "p", hostname: "p" };
    await runtime.runSandbox({ uid, ...name, address: "127.64.3.9", hostNetwork: false });
    try {
      await runtime.images.pull("localhost/user:1");
      const config = {
        ...{ podUid: uid, name: "c", attempt: 0, image: "localhost/user:1" },
        ...{ command: [], args: [], env: {}, mounts: [], specHash: "" },
      };
      const id = await runtime.createContainer(config);
      await runtime.startContainer(id);
      const pieces: Uint8Array[] = [];
      const signal = AbortSignal.timeout(patienceMillis);
      for await (const piece of runtime.logs(id, { follow: true, signal })) pieces.push(piece);
      assert.equal(
        Buffer.concat(pieces).toString(),
        "1000\n1000\n/made/here\nfrom the image\nbin\ndev\netc\nhome\nmade\nproc\nsys\ntmp\n",
      );
      assert.equal(runtime.containers()[0]?.exitCode, 3);
      const drop = { ...config, attempt: 1, security: { dropCapabilities: ["ALL"] } };
      await assert.rejects(runtime.createContainer(drop), /capabilities.drop: ALL/);
    } finally {
      await runtime.removeSandbox(uid);
      await runtime.close();
    }
  });
});
