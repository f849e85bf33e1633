/** Which messages are lost when a member is cut off. Both ends lose them, as on a cut cable. */
import type { FaultSettings, PeerFault } from "../../../proto/gen/cluster.ts";
import type { MemberRef } from "../world/world.ts";

type Faults = readonly (readonly [MemberRef, Omit<FaultSettings, "expireMillis">])[];

/** Nothing passes between the victim and the others, either way. */
export function isolated(members: readonly MemberRef[], victim: MemberRef): Faults {
  const cut = (peer: string): PeerFault => ({ peer, dropSent: true, dropReceived: true });
  return between(members, victim, cut, cut);
}

/** What the others send does not reach the victim; what it sends reaches them. */
export function deafened(members: readonly MemberRef[], victim: MemberRef): Faults {
  return between(
    members,
    victim,
    (peer) => ({ peer, dropReceived: true }),
    (peer) => ({ peer, dropSent: true }),
  );
}

function between(
  members: readonly MemberRef[],
  victim: MemberRef,
  here: (peer: string) => PeerFault,
  there: (peer: string) => PeerFault,
): Faults {
  const others = members.filter((member) => member !== victim);
  const faults: [MemberRef, { peers: PeerFault[] }][] = [
    [victim, { peers: others.map(({ name }) => here(name)) }],
  ];
  for (const other of others) faults.push([other, { peers: [there(victim.name)] }]);
  return faults;
}
