/**
 * The node's Lease in kube-node-lease. Trireme's own controllers know of nodes by their heartbeats;
 * the Lease is for other programs: upstream's node lifecycle controller, and `kubectl describe node`.
 */
import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { Clock, Log } from "../../../ha/runtime/types.ts";
import type { Lease } from "../../../proto/gen/coordination.ts";
import type { Node } from "../../../proto/gen/core.ts";
import {
  isAlreadyExists,
  isConflict,
  isNotFound,
  type ResourceClient,
  sleep,
} from "../../client/mod.ts";
import { rfc3339Micro } from "../../kinds/facts.ts";
import { kubeletLimits } from "../limits.ts";

const namespace = "kube-node-lease";

export interface NodeLeaseOptions {
  readonly leases: Pick<ResourceClient<Lease>, "get" | "create" | "update">;
  readonly nodeName: string;
  /** Whom the Lease belongs to: it goes with the Node. Undefined: not known at present. */
  readonly node: () => Node | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

export class NodeLease {
  readonly #options: NodeLeaseOptions;
  #lease: Lease | undefined;

  constructor(options: NodeLeaseOptions) {
    this.#options = options;
  }

  /** Renews until the signal aborts; a failure is tried again at the next turn. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      try {
        await this.renew();
      } catch (thrown) {
        const error = StatusError.from(thrown);
        if (!signal.aborted) log.warn("the node's lease was not renewed", { error: error.message });
      }
      await sleep(clock, kubeletLimits.leaseRenewMillis, signal);
    }
  }

  /** Writes once, twice where the Lease is not as it was remembered. */
  async renew(): Promise<void> {
    try {
      this.#lease ??= await this.#stored();
      this.#lease = await this.#write(this.#lease);
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error) && !isAlreadyExists(error)) throw error;
      this.#lease = await this.#write(await this.#stored());
    }
  }

  async #stored(): Promise<Lease | undefined> {
    try {
      return await this.#options.leases.get(this.#options.nodeName, namespace);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  #write(stored: Lease | undefined): Promise<Lease> {
    const { leases, nodeName, node, clock } = this.#options;
    const spec = {
      holderIdentity: nodeName,
      leaseDurationSeconds: kubeletLimits.leaseDurationSeconds,
      renewTime: rfc3339Micro(clock.wallMillis()),
    };
    if (stored !== undefined) {
      return leases.update({ ...stored, spec: { ...stored.spec, ...spec } });
    }
    const uid = node()?.metadata?.uid;
    const owner = { apiVersion: "v1", kind: "Node", name: nodeName, uid };
    const ownerReferences = uid === undefined ? [] : [owner];
    return leases.create({ metadata: { name: nodeName, namespace, ownerReferences }, spec });
  }
}
