/** The faults of one member, as its network, disk and clock look them up. */
import type { Cancel, Clock } from "../types.ts";
import {
  checkFaults,
  type FaultControl,
  type FaultSettings,
  noFaults,
  type PeerFault,
} from "./settings.ts";

export class FaultSwitchboard implements FaultControl {
  readonly #clock: Clock;
  readonly #listeners = new Set<(settings: FaultSettings) => void>();
  #settings = noFaults;
  #byPeer: ReadonlyMap<string, PeerFault> = new Map();
  #cancelExpiry: Cancel = () => {};

  /** `clock` tells when faults expire. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get settings(): FaultSettings {
    return this.#settings;
  }

  peer(name: string | undefined): PeerFault | undefined {
    return name === undefined ? undefined : this.#byPeer.get(name);
  }

  set(settings: FaultSettings): void {
    checkFaults(settings);
    this.#cancelExpiry();
    this.#settings = settings;
    this.#byPeer = new Map(settings.peers.map((fault) => [fault.peer, fault]));
    if (settings.expireMillis > 0) {
      this.#cancelExpiry = this.#clock.after(settings.expireMillis, () => this.set(noFaults));
    }
    for (const listener of [...this.#listeners]) listener(settings);
  }

  onChange(listener: (settings: FaultSettings) => void): () => void {
    const entry = (settings: FaultSettings) => listener(settings);
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  close(): void {
    this.#cancelExpiry();
  }
}
