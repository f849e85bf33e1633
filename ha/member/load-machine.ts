import type { Disk, MemberId } from "../runtime/types.ts";
import { loadStateMachine, pageReader, StateMachine } from "../store/mod.ts";

/** The state machine with the state that the disk holds. */
export async function loadMachine(
  disk: Disk,
  member: MemberId,
  incarnation: number,
): Promise<StateMachine> {
  const machine = new StateMachine(disk, { self: { member, incarnation } });
  await loadStateMachine(machine, disk, pageReader(disk));
  return machine;
}
