/** One hollow node: the heartbeat stream of a real kubelet, over pods that take only time. */
import type { Clock, Log } from "../../../ha/runtime/types.ts";
import type {
  HeartbeatRequest,
  HeartbeatResponse,
  Node,
  NodeCondition,
  NodeStatus,
  NodeUsage,
  Pod,
  PodStatusResult,
} from "../../../proto/gen/core.ts";
import type { Duplex } from "../../client/mod.ts";
import { isFinished, rfc3339Seconds } from "../../kinds/facts.ts";
import { AddressPool } from "../node/addresses.ts";
import { Heartbeat } from "../node/heartbeat.ts";
import { type NodeOptions, nodeObject, nodeStatus } from "../node/node-status.ts";
import { PodRanges } from "../node/pod-ranges.ts";
import { podIPsOf } from "../pod/pod-ips.ts";
import { HollowPod } from "./pod.ts";
import type { Stages } from "./stages.ts";

export interface HollowNodeOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Uniform in 0..1. */
  readonly random: () => number;
  readonly node: NodeOptions;
  /** Ranges of its pods' addresses, at most one of each family, e.g. 10.128.3.0/24. */
  readonly podCIDRs: readonly [string, ...string[]];
  readonly stages: Stages;
  readonly open: (signal: AbortSignal) => Promise<Duplex<HeartbeatRequest, HeartbeatResponse>>;
  /** Makes sure that the object exists. */
  readonly register: (node: Node) => Promise<void>;
}

export class HollowNode {
  readonly #options: HollowNodeOptions;
  readonly #pods = new Map<string, HollowPod>();
  readonly #ranges: PodRanges;
  readonly #heartbeat: Heartbeat;
  readonly #status: NodeStatus;
  #heardOnce: () => void = () => {};
  /** Resolves when the apiserver has answered for the first time: its first status is written. */
  readonly heard = new Promise<void>((resolve) => {
    this.#heardOnce = resolve;
  });

  constructor(options: HollowNodeOptions) {
    const { clock, log, random, node, open } = options;
    this.#options = options;
    const [first, second] = options.podCIDRs;
    this.#ranges = new PodRanges(
      new AddressPool(first),
      second === undefined ? undefined : new AddressPool(second),
    );
    const { daemonEndpoints: _, ...status } = nodeStatus(node, conditions(clock.wallMillis()), []);
    this.#status = status;
    this.#heartbeat = new Heartbeat({
      ...{ nodeName: node.nodeName, clock, log: log.child({ node: node.nodeName }), random },
      open: async (signal) => this.#noting(await open(signal)),
      status: () => this.#status,
      usage: async () => this.#usage(),
      result: (result, latest) => this.#answered(result, latest),
      register: () => this.register(),
    });
  }

  get name(): string {
    return this.#options.node.nodeName;
  }

  /** Whether the apiserver hears it. */
  get connected(): boolean {
    return this.#heartbeat.connected;
  }

  register(): Promise<void> {
    const node = nodeObject(this.#options.node);
    const { podCIDRs } = this.#options;
    return this.#options.register({
      ...node,
      spec: { ...node.spec, podCIDR: podCIDRs[0], podCIDRs: [...podCIDRs] },
      // Its first heartbeat then has nothing more to write.
      status: this.#status,
    });
  }

  /** Sends heartbeats until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#heartbeat.run(signal);
    for (const pod of this.#pods.values()) pod.close();
  }

  podSeen(pod: Pod): void {
    const uid = pod.metadata?.uid ?? "";
    const known = this.#pods.get(uid);
    if (known !== undefined) {
      known.update(pod);
      return;
    }
    const leaving = pod.metadata?.deletionTimestamp !== undefined;
    if (isFinished(pod) && !leaving) return;
    const addresses = this.#ranges.take(uid);
    if (addresses === undefined) return;
    const { clock, random, stages, node } = this.#options;
    const host = { hostIP: node.nodeIP, secondHostIP: node.secondNodeIP };
    const report = this.#heartbeat.report.bind(this.#heartbeat);
    const podIPs = podIPsOf({ ...addresses, hostNetwork: false }, host);
    this.#pods.set(uid, new HollowPod({ clock, random, stages, ...host, report }, pod, podIPs));
  }

  podGone(uid: string): void {
    this.#pods.get(uid)?.close();
    this.#pods.delete(uid);
    this.#ranges.release(uid);
    this.#heartbeat.forget(uid);
  }

  #noting(
    stream: Duplex<HeartbeatRequest, HeartbeatResponse>,
  ): Duplex<HeartbeatRequest, HeartbeatResponse> {
    const heard = this.#heardOnce;
    async function* responses() {
      for await (const response of stream.responses) {
        heard();
        yield response;
      }
    }
    return {
      send: (request) => stream.send(request),
      ready: () => stream.ready(),
      responses: responses(),
      end: () => stream.end(),
      cancel: () => stream.cancel(),
    };
  }

  /** Of a pod that is not there, or is another one, there is no more to say. */
  #answered({ uid = "", code = 200 }: PodStatusResult, latest: boolean): void {
    if (latest && code === 404) this.podGone(uid);
  }

  /** Its pods use what they ask for. */
  #usage(): NodeUsage {
    let [cpuMillis, memoryBytes] = [0, 0];
    for (const each of this.#pods.values()) {
      if (!each.running) continue;
      cpuMillis += each.requests["cpu"] ?? 0;
      memoryBytes += each.requests["memory"] ?? 0;
    }
    return { cpuMillis, memoryBytes };
  }
}

function conditions(now: number): NodeCondition[] {
  const time = rfc3339Seconds(now);
  const times = { lastHeartbeatTime: time, lastTransitionTime: time };
  const fine = (type: string, reason: string, message: string): NodeCondition => ({
    ...{ type, status: "False", reason, message, ...times },
  });
  return [
    fine("MemoryPressure", "KubeletHasSufficientMemory", "hollow node: no memory is in use"),
    fine("DiskPressure", "KubeletHasNoDiskPressure", "hollow node: no disk is in use"),
    fine("PIDPressure", "KubeletHasSufficientPID", "hollow node: no process runs"),
    {
      ...{ type: "Ready", status: "True", reason: "KubeletReady", ...times },
      message: "hollow node: pods take time and nothing else",
    },
  ];
}
