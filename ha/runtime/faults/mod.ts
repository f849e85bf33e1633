/** Faults on purpose: what `--enable-faults` puts around a member's network, disk and clock. */
import type { Clock, Disk, PeerNetwork, Random } from "../types.ts";
import { JumpingClock } from "./faulty-clock.ts";
import { FaultyDisk } from "./faulty-disk.ts";
import { FaultyNetwork } from "./faulty-network.ts";
import { FaultSwitchboard } from "./switchboard.ts";

export { JumpingClock } from "./faulty-clock.ts";
export type { DiskFault, FaultControl, FaultSettings, PeerFault } from "./settings.ts";

export interface FaultyParts {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly network: PeerNetwork;
  readonly faults: FaultSwitchboard;
}

/** The same parts, with faults that can be set. */
export function withFaults(parts: {
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly network: PeerNetwork;
}): FaultyParts {
  const { random } = parts;
  const faults = new FaultSwitchboard(parts.clock);
  const clock = new JumpingClock(parts.clock);
  faults.onChange(({ clockOffsetMillis }) => {
    clock.offsetMillis = clockOffsetMillis;
  });
  return {
    clock,
    disk: new FaultyDisk(parts.disk, parts.clock, faults),
    network: new FaultyNetwork(parts.network, { clock: parts.clock, random, faults }),
    faults,
  };
}
