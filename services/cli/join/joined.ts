/** What a machine that has joined consists of, for the command that supervises it. */
import { join } from "node:path";
import type { Log } from "../../../ha/runtime/types.ts";
import { Child } from "../child.ts";

/** A node or a master, with its processes. */
export interface Joined {
  /** E.g. `node "far"`. */
  readonly what: string;
  /** Of the process that people ask about first. */
  readonly logFile: string;
  /** Resolves when all is under way, or soon after `stop`. */
  start(): Promise<void>;
  /** Undefined: it takes part; else what is still missing. May reject with the reason. */
  missing(): Promise<string | undefined>;
  stop(): Promise<void>;
}

export function joinedPaths(dataDirectory: string) {
  const pki = join(dataDirectory, "pki");
  return {
    pki,
    state: join(dataDirectory, "join.json"),
    ca: join(pki, "ca.crt"),
    clientPair: join(pki, "kubelet-client-current.pem"),
    kubeProxyPair: join(pki, "kube-proxy-current.pem"),
    logs: join(dataDirectory, "log"),
    kubelet: join(dataDirectory, "kubelet"),
  };
}

const restartMillis = 500;
const restartMillisMax = 10_000;
/** Every process bounds its own stop at 10 s; the supervisor waits a little longer. */
export const stopMillis = 12_000;

/** One process, started again whenever it ends; failures in a row back off. */
export function supervised(
  name: string,
  args: readonly string[],
  logs: string,
  log: Log,
): { readonly child: Child; readonly logFile: string } {
  const logFile = join(logs, `${name}.log`);
  const child = new Child({
    ...{ name, args, log, logFile },
    changed: () => {},
    killed: () => {},
    restartDelayMillis: (_killed, failures) =>
      Math.min(restartMillis * 2 ** (failures - 1), restartMillisMax),
  });
  return { child, logFile };
}
