/** Preloaded into every process and thread of a drill: breaks the members among them. */
import { isMainThread } from "node:worker_threads";

const { env, argv } = process;
// The member runs on a thread of a process `trireme store`, and finds there whose thread it is.
if (isMainThread) env["TRIREME_BROKEN_MEMBER"] = argv.includes("store") ? argv.join(" ") : "";
const build = env["TRIREME_BROKEN"];
// The drill's own processes stay as they are.
if (build !== undefined && env["TRIREME_BROKEN_MEMBER"]) {
  const { breakForDrill } = await import("./broken-builds.ts");
  breakForDrill(build);
}
