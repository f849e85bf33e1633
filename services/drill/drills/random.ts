import type { Drill } from "../drill.ts";
import { diskFull } from "./disk-full.ts";
import { followerKill } from "./follower-kill.ts";
import { leaderKill } from "./leader-kill.ts";
import { leaderPartition } from "./leader-partition.ts";
import { leaderPause } from "./leader-pause.ts";
import { minority } from "./minority.ts";
import { slowDisk } from "./slow-disk.ts";

const choices = [
  leaderKill,
  followerKill,
  leaderPause,
  leaderPartition,
  minority,
  slowDisk,
  diskFull,
] as const;
const faultsInARow = 3;

export const random: Drill = {
  name: "random",
  summary: "three faults drawn by the seed, one after the other: --seed draws the same again",
  world: "masters",
  needsFaults: true,
  thresholds: {
    writeOutageMillis: 2_000,
    readOutageMillis: 2_000,
    watchOutageMillis: 3_000,
    failedCalls: 0,
    relists: 0,
    elections: 3,
  },
  async fault(scene) {
    for (let i = 0; i < faultsInARow && !scene.signal.aborted; i++) {
      const choice = choices[scene.random(choices.length)] ?? leaderKill;
      await choice.fault(scene);
      await scene.undo();
      await scene.whole();
    }
  },
};
