/** All drills, in the order in which they are told and held. */
import type { Drill } from "./drill.ts";
import { asymmetricPartition } from "./drills/asymmetric-partition.ts";
import { backupRestore } from "./drills/backup-restore.ts";
import { balancerKill } from "./drills/balancer-kill.ts";
import { balancerPause } from "./drills/balancer-pause.ts";
import { clockJump } from "./drills/clock-jump.ts";
import { controllerKill } from "./drills/controller-kill.ts";
import { diskError } from "./drills/disk-error.ts";
import { diskFull } from "./drills/disk-full.ts";
import { followerKill } from "./drills/follower-kill.ts";
import { fullStop } from "./drills/full-stop.ts";
import { leaderKill } from "./drills/leader-kill.ts";
import { leaderPartition } from "./drills/leader-partition.ts";
import { leaderPause } from "./drills/leader-pause.ts";
import { memberReplace } from "./drills/member-replace.ts";
import { minority } from "./drills/minority.ts";
import { nodeKill } from "./drills/node-kill.ts";
import { nodePartition } from "./drills/node-partition.ts";
import { quorumLoss } from "./drills/quorum-loss.ts";
import { random } from "./drills/random.ts";
import { relistStorm } from "./drills/relist-storm.ts";
import { rollingRestart } from "./drills/rolling-restart.ts";
import { schedulerKill } from "./drills/scheduler-kill.ts";
import { slowDisk } from "./drills/slow-disk.ts";

export const drills: readonly Drill[] = [
  leaderKill,
  followerKill,
  leaderPause,
  leaderPartition,
  asymmetricPartition,
  minority,
  quorumLoss,
  rollingRestart,
  memberReplace,
  slowDisk,
  diskFull,
  diskError,
  clockJump,
  balancerKill,
  balancerPause,
  schedulerKill,
  controllerKill,
  nodeKill,
  nodePartition,
  fullStop,
  backupRestore,
  relistStorm,
  random,
];
