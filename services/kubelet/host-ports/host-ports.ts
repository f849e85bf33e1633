/**
 * The host ports of one pod, where its runtime maps none. A pod shares the machine's network here: a
 * program that listens on all addresses has the host port already, and would be kept from it by a
 * relay that came first. So the kubelet waits until the program listens, and relays only to one that
 * listens on the pod's own address.
 */
import { isIPv6 } from "node:net";
import type { Cancel } from "../../../ha/runtime/types.ts";
import { kubeletLimits } from "../limits.ts";
import { sameFamily } from "../node/node-ips.ts";
import { authorityOf } from "../pod/authority.ts";
import type { WorkerView } from "../pod/context.ts";
import { type HostIPs, hostIPList, type PodIPs, podIPList } from "../pod/pod-ips.ts";
import { portMappings } from "../pod/sandbox.ts";
import type { PortMapping } from "../runtime/types.ts";
import { listeners } from "./listeners.ts";
import { relayTcp, relayUdp } from "./relays.ts";

const anyAddress = new Set(["", "0.0.0.0", "::"]);

export class HostPorts {
  readonly #view: WorkerView;
  readonly #ends: (() => void)[] = [];
  #timers = new Set<Cancel>();
  #open = false;
  /** Counts openings: what an earlier one has begun is over. */
  #turn = 0;

  constructor(view: WorkerView) {
    this.#view = view;
  }

  /** The pod has its addresses. Idempotent until `close`. */
  open(podIPs: PodIPs): void {
    if (this.#open || this.#view.context.runtime.features().ownNetwork) return;
    this.#open = true;
    for (const mapping of portMappings(this.#view.pod())) {
      if (mapping.protocol === "SCTP") {
        const text = `host port ${mapping.hostPort}/SCTP is not mapped: SCTP is not relayed here`;
        this.#view.event("Warning", "FieldNotEnforced", text);
        continue;
      }
      for (const way of waysOf(mapping, podIPs, this.#view.context)) {
        void this.#look(mapping, way, this.#turn, 0);
      }
    }
  }

  /** Idempotent. */
  close(): void {
    this.#open = false;
    this.#turn += 1;
    for (const cancel of this.#timers) cancel();
    this.#timers = new Set();
    for (const end of this.#ends.splice(0)) end();
  }

  /** Looks until there is something to relay to, or the port is served. `tried`: failed binds. */
  async #look(mapping: PortMapping, way: Way, turn: number, tried: number): Promise<void> {
    const { host, podIP } = way;
    const protocol = mapping.protocol === "UDP" ? "UDP" : "TCP";
    const found = await listeners(protocol);
    if (turn !== this.#turn) return;
    const all = isIPv6(host) ? "::" : "0.0.0.0";
    // The program itself has the port.
    if (found.has(authorityOf(all, mapping.hostPort))) return;
    const { hostPortLookMillis, hostPortRetryMillis } = kubeletLimits;
    if (!found.has(authorityOf(podIP, mapping.containerPort))) {
      return this.#later(hostPortLookMillis, mapping, way, turn, tried);
    }
    const relay = protocol === "UDP" ? relayUdp : relayTcp;
    try {
      const to = { host: podIP, port: mapping.containerPort };
      const end = await relay({ host, port: mapping.hostPort }, to);
      if (turn === this.#turn) this.#ends.push(end);
      else end();
    } catch (error) {
      if (turn !== this.#turn) return;
      if (tried === 0) {
        const text = `host port ${mapping.hostPort}/${protocol}: ${(error as Error).message}`;
        this.#view.event("Warning", "HostPortConflict", text);
      }
      this.#later(hostPortRetryMillis, mapping, way, turn, tried + 1);
    }
  }

  #later(millis: number, mapping: PortMapping, way: Way, turn: number, tried: number): void {
    const cancel = this.#view.context.clock.after(millis, () => {
      this.#timers.delete(cancel);
      void this.#look(mapping, way, turn, tried);
    });
    this.#timers.add(cancel);
  }
}

/** From an address of the node to one of the pod. */
interface Way {
  readonly host: string;
  readonly podIP: string;
}

/** Of each family that both have, unless the mapping names an address of the node. */
function waysOf({ hostIP = "" }: PortMapping, podIPs: PodIPs, hostIPs: HostIPs): readonly Way[] {
  const hosts = anyAddress.has(hostIP) ? hostIPList(hostIPs) : [hostIP];
  const ways = podIPList(podIPs).flatMap((podIP) => {
    const host = hosts.find((one) => sameFamily(one, podIP));
    return host === undefined ? [] : [{ host, podIP }];
  });
  const [host = hostIPs.hostIP] = hosts;
  return ways.length > 0 ? ways : [{ host, podIP: podIPs.podIP }];
}
