import type { Scene } from "../scene.ts";
import { isOurs, type MemberRef, until } from "../world/world.ts";

const goneMillisMax = 10_000;

/** The disk refuses every write. A member whose disk has failed is restarted to be of use again. */
export async function failDisk(
  scene: Scene,
  member: MemberRef,
  failure: "full" | "io",
): Promise<void> {
  const pid = member.pid();
  scene.strike(`restart of ${member.name}, on a disk that works`, async () => {
    if (isOurs(pid)) process.kill(pid, "SIGKILL");
    // Its parent has to have seen that it is gone, or it would not start another.
    const gone = async () => member.pid() !== pid;
    await until(`${member.name} to end`, gone, goneMillisMax);
    await scene.world.revive(member);
  });
  const name = failure === "full" ? "is full" : "fails";
  await scene.setFaults(`the disk of ${member.name} ${name}`, [
    [member, { peers: [], disk: { failure } }],
  ]);
}
