/** Which container runtime the kubelet's flags choose. */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { bytes, parseQuantity } from "../kinds/facts.ts";
import { createCriRuntime } from "./runtime/cri/mod.ts";
import { parseImageMap } from "./runtime/image-map.ts";
import { logLimits } from "./runtime/process/logs.ts";
import { createProcessRuntime } from "./runtime/process/mod.ts";
import type { ContainerRuntime } from "./runtime/types.ts";

const logFilesCeiling = 1_000;

export const runtimeFlags = {
  "container-runtime-endpoint": {
    type: "string",
    help: "socket of a CRI runtime, unix:///…; default: pods are processes of this machine",
  },
  "container-log-max-size": {
    type: "string",
    default: "10Mi",
    help: "quantity; a container's log beyond it is rotated",
  },
  "container-log-max-files": {
    type: "number",
    default: logLimits.filesMax,
    help: "files of a container's log, at least 2",
  },
  "image-root": {
    type: "string",
    help: "folder of OCI image layouts, as directories or tar archives, asked before registries",
  },
  "image-map": {
    type: "string",
    repeated: true,
    help: "NAME=COMMAND: an image that stands for a program of this machine; may be repeated",
  },
} as const;

interface RuntimeValues {
  readonly "container-runtime-endpoint": string | undefined;
  readonly "image-root": string | undefined;
  readonly "image-map": readonly string[];
  readonly "container-log-max-size": string;
  readonly "container-log-max-files": number;
}

/** Not loaded yet. Throws StatusError that names the flag. `root`: the state directory. */
export function chooseRuntime(values: RuntimeValues, root: string, log: Log): ContainerRuntime {
  const endpoint = values["container-runtime-endpoint"];
  const imageRoot = values["image-root"];
  const logs = logsOf(values);
  if (endpoint === undefined) {
    const imageMap = parseImageMap(values["image-map"]);
    return createProcessRuntime({ root: `${root}/runtime`, log, imageRoot, imageMap, ...logs });
  }
  if (values["image-map"].length > 0) {
    throw new StatusError(
      Code.invalidArgument,
      "--image-map is for pods that are processes, and not for --container-runtime-endpoint",
    );
  }
  const places = { logRoot: `${root}/logs`, seccompRoot: `${root}/seccomp` };
  return createCriRuntime({ endpoint, imageRoot, ...places, log, ...logs });
}

function logsOf(values: RuntimeValues): { logBytesMax: number; logFilesMax: number } {
  const size = values["container-log-max-size"];
  const logBytesMax = parseQuantity(size) === undefined ? 0 : bytes(size);
  const logFilesMax = values["container-log-max-files"];
  if (logBytesMax <= 0) {
    throw new StatusError(
      Code.invalidArgument,
      `--container-log-max-size: "${size}" is no quantity above 0`,
    );
  }
  if (!Number.isInteger(logFilesMax) || logFilesMax < 2 || logFilesMax > logFilesCeiling) {
    throw new StatusError(
      Code.invalidArgument,
      `--container-log-max-files: ${logFilesMax} is not within 2..${logFilesCeiling}`,
    );
  }
  return { logBytesMax, logFilesMax };
}
