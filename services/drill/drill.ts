/**
 * The shape of a drill: under a steady load a fault is set and undone, the world recovers, and what
 * was seen is judged. One small file each:
 *
 *     export const leaderKill: Drill = {
 *       name: "leader-kill",
 *       summary: "…",
 *       world: "masters",
 *       thresholds: { writeOutageMillis: 300, failedCalls: 0, relists: 0 },
 *       async fault(scene) {
 *         scene.killMember(await scene.victim("leader"));
 *         await scene.hold(1_500);
 *       },
 *     };
 */
import type { Scene } from "./scene.ts";
import type { Thresholds } from "./thresholds.ts";

export interface Drill {
  readonly name: string;
  /** One line: what is done to whom, and what must hold. */
  readonly summary: string;
  /** `masters`: of a cluster, or of a store alone; `store`: needs one of its own. */
  readonly world: "masters" | "store" | "cluster";
  /** It sets faults into members, which must have been started to take them. */
  readonly needsFaults?: true;
  /** Pods run meanwhile, where there are nodes. */
  readonly pods?: true;
  readonly thresholds: Thresholds;
  /** Under load, before every fault. Throws when the drill cannot be held. */
  prepare?(scene: Scene): Promise<void>;
  /** Sets the fault, and resolves when it is to be undone. */
  fault(scene: Scene): Promise<void>;
  /** Resolves when the world is whole again, beyond what every drill waits for. */
  recovered?(scene: Scene): Promise<void>;
}
