/** Enforces NetworkPolicies on the pods of this node by nftables. */
import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Cancel, Clock, Log } from "../../../ha/runtime/types.ts";
import type { Namespace, Pod } from "../../../proto/gen/core.ts";
import { Backoff, type InformerFactory } from "../../client/mod.ts";
import type { Family } from "../family.ts";
import { proxyLimits } from "../limits.ts";
import { nft, type RunProgram } from "../nftables/programs.ts";
import { restrictionsOf } from "./plan.ts";
import { policyTable } from "./table.ts";

export interface PolicyOptions {
  readonly informers: InformerFactory;
  readonly nodeName: string;
  /** Those that the kernel can do. */
  readonly families: readonly Family[];
  readonly run: RunProgram;
  readonly clock: Clock;
  readonly log: Log;
}

export class PolicyEnforcer {
  readonly #options: PolicyOptions;
  readonly #backoff = new Backoff(
    proxyLimits.bindRetryFirstMillis,
    proxyLimits.bindRetryCeilingMillis,
  );
  #loaded: string | undefined;
  #pending = false;
  #closed = false;
  #retry: Cancel = () => undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(options: PolicyOptions) {
    this.#options = options;
  }

  /** Resolves when the rules of the first state are in force, or have been refused. */
  async start(signal: AbortSignal): Promise<void> {
    const { informers } = this.#options;
    const policies = informers.informer("NetworkPolicy");
    const pods = informers.informer("Pod");
    const namespaces = informers.informer("Namespace");
    await Promise.all([policies, pods, namespaces].map((each) => each.whenSynced(signal)));
    const changed = () => this.#changed();
    policies.addHandlers({ added: changed, updated: changed, deleted: changed });
    pods.addHandlers({
      added: changed,
      updated(previous, pod) {
        if (podFacts(previous) !== podFacts(pod)) changed();
      },
      deleted: changed,
    });
    namespaces.addHandlers({
      added: changed,
      updated(previous, namespace) {
        if (labelsOf(previous) !== labelsOf(namespace)) changed();
      },
      deleted: changed,
    });
    await this.#enqueue();
  }

  /** The rules stay: pods must not be open while the proxy is replaced. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#retry();
    await this.#work;
  }

  #changed(): void {
    if (this.#pending) return;
    this.#pending = true;
    this.#options.clock.soon(() => void this.#enqueue());
  }

  #enqueue(): Promise<void> {
    this.#work = this.#work.then(() => this.#apply());
    return this.#work;
  }

  async #apply(): Promise<void> {
    this.#pending = false;
    if (this.#closed) return;
    const { informers, nodeName, families, run, clock, log } = this.#options;
    this.#retry();
    try {
      const world = {
        policies: informers.informer("NetworkPolicy").lister.list(),
        pods: informers.informer("Pod").lister.list(),
        namespaces: informers.informer("Namespace").lister.list(),
        nodeName,
      };
      const text = families
        .map((family) => policyTable(restrictionsOf({ ...world, family }), family))
        .join("");
      if (text === this.#loaded) return;
      await nft(run, text);
      this.#loaded = text;
      this.#backoff.reset();
    } catch (error) {
      this.#loaded = undefined;
      const { message } = StatusError.from(error);
      log.error("network policies could not be put in force; it is tried again", { message });
      this.#retry = clock.after(this.#backoff.next(), () => this.#changed());
    }
  }
}

/** The fields of a pod that policies look at. */
function podFacts({ metadata, spec, status }: Pod): string {
  const { podIPs, podIP, phase } = status ?? {};
  return JSON.stringify([metadata?.labels, spec?.nodeName, podIPs, podIP, phase]);
}

function labelsOf({ metadata }: Namespace): string {
  return JSON.stringify(metadata?.labels);
}
