import type { Scene } from "../scene.ts";
import { isOurs, type MemberRef } from "../world/world.ts";

/** The disk refuses every write. A member whose disk has failed is restarted to be of use again. */
export async function failDisk(
  scene: Scene,
  member: MemberRef,
  failure: "full" | "io",
): Promise<void> {
  const pid = member.pid();
  scene.strike(`restart of ${member.name}, on a disk that works`, async () => {
    if (isOurs(pid)) process.kill(pid, "SIGKILL");
    await scene.world.revive(member);
  });
  const name = failure === "full" ? "is full" : "fails";
  await scene.setFaults(`the disk of ${member.name} ${name}`, [
    [member, { peers: [], disk: { failure } }],
  ]);
}
