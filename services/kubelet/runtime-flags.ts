/** Which container runtime the kubelet's flags choose. */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { createCriRuntime } from "./runtime/cri/mod.ts";
import { createProcessRuntime } from "./runtime/process/mod.ts";
import type { ContainerRuntime } from "./runtime/types.ts";

export const runtimeFlags = {
  "container-runtime-endpoint": {
    type: "string",
    help: "socket of a CRI runtime, unix:///…; default: pods are processes of this machine",
  },
  "image-root": {
    type: "string",
    help: "folder of OCI image layouts, as directories or tar archives, asked before registries",
  },
} as const;

interface RuntimeValues {
  readonly "container-runtime-endpoint": string | undefined;
  readonly "image-root": string | undefined;
}

/** Not loaded yet. Throws StatusError that names the flag. `root`: the state directory. */
export function chooseRuntime(values: RuntimeValues, root: string, log: Log): ContainerRuntime {
  const endpoint = values["container-runtime-endpoint"];
  const imageRoot = values["image-root"];
  if (endpoint === undefined) {
    if (imageRoot !== undefined) {
      throw new StatusError(
        Code.invalidArgument,
        "--image-root is for a runtime of --container-runtime-endpoint",
      );
    }
    return createProcessRuntime({ root: `${root}/runtime`, log });
  }
  return createCriRuntime({ endpoint, imageRoot, logRoot: `${root}/logs`, log });
}
