/**
 * The host ports of one pod, where its runtime maps none. A pod shares the machine's network here: a
 * program that listens on all addresses has the host port already, and would be kept from it by a
 * relay that came first. So the kubelet waits until the program listens, and relays only to one that
 * listens on the pod's own address.
 */
import type { Cancel } from "../../../ha/runtime/types.ts";
import { kubeletLimits } from "../limits.ts";
import type { WorkerView } from "../pod/context.ts";
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

  /** The pod has its address. Idempotent until `close`. */
  open(podIP: string): void {
    if (this.#open || this.#view.context.runtime.features().ownNetwork) return;
    this.#open = true;
    for (const mapping of portMappings(this.#view.pod())) {
      if (mapping.protocol === "SCTP") {
        const text = `host port ${mapping.hostPort}/SCTP is not mapped: SCTP is not relayed here`;
        this.#view.event("Warning", "FieldNotEnforced", text);
      } else void this.#look(mapping, podIP, this.#turn, 0);
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
  async #look(mapping: PortMapping, podIP: string, turn: number, tried: number): Promise<void> {
    const protocol = mapping.protocol === "UDP" ? "UDP" : "TCP";
    const found = await listeners(protocol);
    if (turn !== this.#turn) return;
    if (found.has(`*:${mapping.hostPort}`)) return; // the program itself has the port
    const { hostPortLookMillis, hostPortRetryMillis } = kubeletLimits;
    if (!found.has(`${podIP}:${mapping.containerPort}`)) {
      return this.#later(hostPortLookMillis, mapping, podIP, turn, tried);
    }
    const { hostIP = "" } = mapping;
    const host = anyAddress.has(hostIP) ? this.#view.context.hostIP : hostIP;
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
      this.#later(hostPortRetryMillis, mapping, podIP, turn, tried + 1);
    }
  }

  #later(millis: number, mapping: PortMapping, podIP: string, turn: number, tried: number): void {
    const cancel = this.#view.context.clock.after(millis, () => {
      this.#timers.delete(cancel);
      void this.#look(mapping, podIP, turn, tried);
    });
    this.#timers.add(cancel);
  }
}
