/** The life of containers with real programs: a shell that waits for a file to say how it ends. */
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ContainerRuntime, Mount } from "../../services/kubelet/runtime/types.ts";
import { eventually, patienceMillis } from "../patience.ts";
import type { LifeWorld } from "./container-life.ts";

/** `shared`: mounts by which containers see a directory of the node under its own path. */
export async function shellLife(
  open: (dir: string) => ContainerRuntime,
  image: string,
  shared: (dir: string) => readonly Mount[] = () => [],
): Promise<LifeWorld> {
  const dir = await mkdtemp(join(tmpdir(), "trireme-life-"));
  const runtime = open(join(dir, "state"));
  await runtime.load();
  const said = async (id: string) => {
    let text = "";
    const signal = AbortSignal.timeout(patienceMillis);
    for await (const piece of runtime.logs(id, { follow: false, signal })) {
      text += Buffer.from(piece).toString();
    }
    return text;
  };
  return {
    ...{ runtime, image },
    program(kind, name) {
      if (kind === "absent") return { command: ["no-such-program-here"], mounts: [] };
      const file = join(dir, name);
      const trap = kind === "obedient" ? "trap 'exit 143' TERM" : "trap '' TERM";
      const wait = `until test -e ${file}; do sleep 0.02; done; exit $(cat ${file})`;
      return { command: ["sh", "-c", `${trap}; echo up; ${wait}`], mounts: shared(dir) };
    },
    async whenUp(id) {
      await eventually("it is up", async () => (await said(id)).includes("up"));
    },
    async finish(name, exitCode) {
      await writeFile(join(dir, "next"), `${exitCode}\n`);
      await rename(join(dir, "next"), join(dir, name));
    },
    pass: async () => undefined,
    async [Symbol.asyncDispose]() {
      await runtime.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
