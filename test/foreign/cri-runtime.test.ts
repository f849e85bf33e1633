/** The contract of container runtimes, held to a real containerd. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createCriRuntime } from "../../services/kubelet/runtime/cri/mod.ts";
import { containerLifeContract } from "../contract/container-life.ts";
import { containerRuntimeContract } from "../contract/container-runtime.ts";
import { shellLife } from "../contract/shell-life.ts";
import { silent } from "../kubelet/support.ts";
import { eventually } from "../patience.ts";
import { Containerd, needsContainerd, unmountBelow } from "./containerd.ts";
import { writeLayout } from "./image-layout.ts";
import { linkToMachine, makeLonely, removeMachines } from "./namespaces.ts";

const prefix = `tc${process.pid}`;
const { skip } = needsContainerd(prefix);

describe("containerd", { concurrency: 1, skip }, () => {
  // A socket's path is short.
  const directory = skip === false ? mkdtempSync("/tmp/tc-") : "";
  const machine = `${prefix}n`;
  let containerd: Containerd | undefined;

  before(async () => {
    makeLonely(machine);
    const streamAddress = linkToMachine(machine, `${prefix}h`);
    const images = join(directory, "images");
    mkdirSync(images);
    const command = ["sleep", "1000"];
    writeLayout(join(images, "first"), [
      { names: ["docker.io/library/label:latest"], command },
      { names: ["localhost/pause:1"], command },
    ]);
    writeLayout(
      join(images, "others"),
      [{ names: ["docker.io/library/other:1"] }, { names: ["docker.io/library/other:2"] }],
      true,
    );
    containerd = new Containerd({
      ...{ machine, directory, streamAddress },
      podRange: "10.244.1.0/24",
      sandboxImage: "localhost/pause:1",
    });
    await containerd.start();
  });
  after(async () => {
    await containerd?.[Symbol.asyncDispose]();
    unmountBelow(directory);
    removeMachines([machine]);
    rmSync(directory, { recursive: true, force: true });
  });

  const open = (root: string) =>
    createCriRuntime({
      endpoint: containerd?.endpoint ?? "",
      imageRoot: join(directory, "images"),
      logRoot: join(root, "logs"),
      seccompRoot: join(root, "seccomp"),
      log: silent,
    });
  const shared = (dir: string) => [{ hostPath: dir, containerPath: dir, readOnly: false }];
  containerLifeContract("cri", () => shellLife(open, "label", shared));
  containerRuntimeContract("cri", open, {
    shared,
    noCommand: { image: "other:2", error: /no command specified/ },
    givenAddress: false,
    halfCloses: false,
    endsExecs: false,
    many: 6,
    serve: async (run) => {
      const script = "head -c 5 | sed 's/.*/<&>/' | tr -d '\\\\n'; cat; printf bye";
      const close = await run(["nc", "-l", "-p", "7777", "-e", "sh", "-c", script]);
      return { port: 7777, close };
    },
  });

  test("a network of both families gives a pod both addresses, also after a restart", async () => {
    containerd?.useRanges(["fd00:244:1::/64", "10.244.1.0/24"]);
    const root = join(directory, "dual");
    const runtime = open(root);
    await runtime.load();
    const config = { uid: "dual", namespace: "d", name: "p", hostname: "p", hostNetwork: false };
    try {
      const made = await eventually("both addresses", async () => {
        const sandbox = await runtime.runSandbox({ ...config, address: "" });
        if (sandbox.secondAddress !== undefined) return sandbox;
        await runtime.removeSandbox("dual");
        return undefined;
      });
      // Its own order: the kubelet puts them into the node's.
      assert.match(made.address, /^10\.244\.1\./);
      assert.match(made.secondAddress ?? "", /^fd00:244:1::/);
      const again = open(root);
      await again.load();
      const known = again.sandboxes().find(({ uid }) => uid === "dual");
      await again.close();
      assert.deepEqual([known?.address, known?.secondAddress], [made.address, made.secondAddress]);
    } finally {
      await runtime.removeSandbox("dual");
      await runtime.close();
    }
  });
});
