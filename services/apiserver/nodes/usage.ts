/** What nodes and pods use, asked of the kubelets: the source of metrics.k8s.io. */
import { Metadata } from "@grpc/grpc-js";
import { type ClientTls, connect } from "../../../ha/rpc/mod.ts";
import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Clock, Log } from "../../../ha/runtime/types.ts";
import { KubeletClient, type NodeStats } from "../../../proto/gen/kubelet.ts";
import { limits } from "../limits.ts";
import { Semaphore } from "../semaphore.ts";
import type { Backend } from "../verbs/backend.ts";
import { kubeletAddress } from "./kubelet-client.ts";

export interface UsageOptions extends Pick<Backend, "registry" | "cache"> {
  /** The certificate with which kubelets are called; absent: without TLS. */
  readonly tls: ClientTls | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

interface Answer {
  readonly at: number;
  readonly stats: Promise<NodeStats | undefined>;
}

/** Remembers each kubelet's answer for a while, and asks a bounded number of kubelets at a time. */
export class UsageOfNodes {
  readonly #options: UsageOptions;
  readonly #answers = new Map<string, Answer>();
  readonly #asking = new Semaphore(
    "questions to kubelets",
    limits.usageParallel,
    limits.heartbeatNodes,
  );

  constructor(options: UsageOptions) {
    this.#options = options;
  }

  /** Undefined: the kubelet does not answer, or has not measured yet. Never throws. */
  async of(node: string): Promise<NodeStats | undefined> {
    const now = this.#options.clock.monotonicMillis();
    const known = this.#answers.get(node);
    if (known !== undefined && now - known.at < limits.usageMillis) return known.stats;
    this.#forget(now);
    const answer: Answer = { at: now, stats: this.#asking.run(() => this.#ask(node)) };
    this.#answers.set(node, answer);
    const stats = await answer.stats;
    // The next request asks again rather than waiting for what was not there.
    if (stats === undefined && this.#answers.get(node) === answer) this.#answers.delete(node);
    return stats;
  }

  #forget(now: number): void {
    for (const [node, { at }] of this.#answers) {
      if (now - at >= limits.usageMillis) this.#answers.delete(node);
    }
  }

  async #ask(node: string): Promise<NodeStats | undefined> {
    const { tls, log } = this.#options;
    try {
      const address = kubeletAddress(this.#options, node);
      const client = connect(KubeletClient, { addresses: [address], tls });
      try {
        const stats = await new Promise<NodeStats>((resolve, reject) => {
          // Of the channel, which knows the real time alone.
          const deadline = Date.now() + limits.usageAnswerMillis;
          client.stats({}, new Metadata(), { deadline }, (error, answer) => {
            if (error === null) resolve(answer);
            else reject(error);
          });
        });
        return stats.time === undefined ? undefined : stats;
      } finally {
        client.close();
      }
    } catch (thrown) {
      const { message } = StatusError.from(thrown);
      log.warn("the kubelet did not say what its pods use", { node, error: message });
      return undefined;
    }
  }
}
