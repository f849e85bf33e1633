/** The ranges of the pods' addresses that the node's object names, and what pods have of them. */
import type { Log } from "../../../ha/runtime/types.ts";
import type { Node } from "../../../proto/gen/core.ts";
import type { ContainerRuntime } from "../runtime/types.ts";
import { type Answers, type PodAddresses, type PodRanges, planRanges } from "./pod-ranges.ts";

export interface NodeRangesOptions {
  readonly runtime: ContainerRuntime;
  /** The node's first address. */
  readonly primary: string;
  readonly answers: Answers;
  readonly log: Log;
  /** Pods that wait for an address may get one now. */
  readonly changed: () => void;
  /** Aborted when the kubelet ends. */
  readonly signal: AbortSignal;
}

export class NodeRanges {
  readonly #options: NodeRangesOptions;
  /** Those of the node's object, with commas between. */
  #cidrs = "";
  /** Absent: there are none yet, or the runtime gives addresses itself. */
  #ranges: PodRanges | undefined;

  constructor(options: NodeRangesOptions) {
    this.#options = options;
  }

  /** Uses the ranges of the node's object, if they are others than before. */
  follow({ spec }: Node): void {
    const { podCIDR = "", podCIDRs = [] } = spec ?? {};
    const given = podCIDRs.length > 0 ? podCIDRs : [podCIDR].filter((cidr) => cidr !== "");
    const cidrs = given.join(",");
    if (cidrs === "" || cidrs === this.#cidrs) return;
    this.#cidrs = cidrs;
    if (this.#isRuntimes) this.#use(undefined);
    else void this.#plan(given, cidrs);
  }

  /** Undefined: there are none yet, or all are in use. */
  take(uid: string): PodAddresses | undefined {
    return this.#isRuntimes ? { address: "" } : this.#ranges?.take(uid);
  }

  release(uid: string): void {
    this.#ranges?.release(uid);
  }

  /** The runtime gives addresses itself. */
  get #isRuntimes(): boolean {
    return this.#options.runtime.features().ownNetwork;
  }

  async #plan(given: readonly string[], cidrs: string): Promise<void> {
    const { primary, answers, log, signal } = this.#options;
    try {
      const { ranges, leftOut } = await planRanges(given, primary, answers);
      if (cidrs !== this.#cidrs || signal.aborted) return;
      if (leftOut.length > 0) {
        const text = "pods get no addresses of a range: no program here is reached at them";
        log.info(text, { podCIDRs: leftOut });
      }
      this.#use(ranges);
    } catch (error) {
      log.error("the node's range is of no use", { error: (error as Error).message });
    }
  }

  #use(ranges: PodRanges | undefined): void {
    const { runtime, log, changed } = this.#options;
    this.#ranges = ranges;
    runtime.usePodRange?.(this.#cidrs);
    for (const sandbox of runtime.sandboxes()) {
      if (sandbox.state === "ready" && !sandbox.hostNetwork) ranges?.hold(sandbox.uid, sandbox);
    }
    log.info("pods get addresses of the node's ranges", { podCIDRs: this.#cidrs });
    changed();
  }
}
