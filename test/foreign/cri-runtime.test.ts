/** The contract of container runtimes, held to a real containerd. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe } from "node:test";
import { createCriRuntime } from "../../services/kubelet/runtime/cri/mod.ts";
import { containerLifeContract } from "../contract/container-life.ts";
import { containerRuntimeContract } from "../contract/container-runtime.ts";
import { shellLife } from "../contract/shell-life.ts";
import { silent } from "../kubelet/support.ts";
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
});
