/** What the requests about a pod's containers have in common. */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Pod } from "../../proto/gen/core.ts";
import type { NodeStats } from "../../proto/gen/kubelet.ts";
import { runsOf } from "./pod/status.ts";
import type { ContainerRuntime, Container as RuntimeContainer } from "./runtime/types.ts";

/** Where the handlers find pods and their containers. */
export interface PodSource {
  readonly runtime: ContainerRuntime;
  readonly pod: (namespace: string, name: string) => Pod | undefined;
  /** What the node and its pods use; undefined: the kubelet does not measure yet. */
  readonly stats: () => NodeStats | undefined;
}

export function badRequest(message: string): StatusError {
  return new StatusError(Code.invalidArgument, message, { reason: "BadRequest" });
}

/** Throws StatusError notFound. */
export function podOf(source: PodSource, namespace: string, name: string): Pod {
  const pod = source.pod(namespace, name);
  if (pod !== undefined) return pod;
  throw new StatusError(Code.notFound, `pod ${namespace}/${name} is not on this node`);
}

/** The container that a request means. Throws StatusError invalidArgument, in upstream's words. */
export function chooseContainer(pod: Pod, asked: string | undefined): string {
  const spec = pod.spec ?? {};
  const namesOf = (list: readonly { name?: string | undefined }[] | undefined) =>
    (list ?? []).map(({ name = "" }) => name);
  const mains = namesOf(spec.containers);
  const inits = namesOf(spec.initContainers);
  const podName = pod.metadata?.name;
  if (asked) {
    const all = [...mains, ...inits, ...namesOf(spec.ephemeralContainers)];
    if (all.includes(asked)) return asked;
    throw badRequest(`container ${asked} is not valid for pod ${podName}`);
  }
  const [only] = mains;
  if (only !== undefined && mains.length === 1) return only;
  const choice = mains.length > 0 ? `, choose one of: [${mains.join(" ")}]` : "";
  const others = inits.length > 0 ? ` or one of the init containers: [${inits.join(" ")}]` : "";
  throw badRequest(`a container name must be specified for pod ${podName}${choice}${others}`);
}

/** The run of a container that is running now. Throws StatusError notFound. */
export function runningRun(source: PodSource, pod: Pod, container: string): RuntimeContainer {
  const runs = source.runtime.containers(pod.metadata?.uid ?? "");
  const { latest } = runsOf(runs, container);
  if (latest?.state === "running") return latest;
  throw new StatusError(Code.notFound, `container not found ("${container}")`);
}

/** The first message of a stream. Throws StatusError invalidArgument when there is none. */
export async function firstOf<T>(messages: AsyncIterator<T>): Promise<T> {
  const step = await messages.next();
  if (!step.done) return step.value;
  throw badRequest("options: the stream ended before a message with them");
}
