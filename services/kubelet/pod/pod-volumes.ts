/** The volumes of one pod through its life: prepared, refreshed, measured and removed. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { kubeletLimits } from "../limits.ts";
import type { Mount } from "../runtime/types.ts";
import { AccountTokens } from "./account-tokens.ts";
import type { WorkerView } from "./context.ts";
import { unmountVolumes } from "./empty-dir.ts";
import type { PodFacts } from "./environment.ts";
import { limitsStorage, storageExcess } from "./local-storage.ts";
import { writeHosts } from "./network-files.ts";
import { podIPList } from "./pod-ips.ts";
import { hasRefreshableVolumes, prepareVolumes } from "./volumes.ts";

export class PodVolumes {
  readonly #view: WorkerView;
  readonly #podDir: string;
  readonly #tokens: AccountTokens;
  #paths: ReadonlyMap<string, string> | undefined;
  #preparedAt = 0;
  #measureAt: number | undefined;

  constructor(view: WorkerView, podDir: string) {
    this.#view = view;
    this.#podDir = podDir;
    this.#tokens = new AccountTokens(view.context.askForToken, view.context.clock);
  }

  /** Directories on the node by volume name. */
  get paths(): ReadonlyMap<string, string> {
    return this.#paths ?? new Map();
  }

  /** False: they cannot be prepared, and are tried again later. */
  async ensure(facts: PodFacts): Promise<boolean> {
    const { clock, config, runtime, csi } = this.#view.context;
    const now = clock.monotonicMillis();
    const refreshable = hasRefreshableVolumes(facts.pod);
    const fresh = !refreshable || now - this.#preparedAt < kubeletLimits.volumeRefreshMillis;
    if (this.#paths !== undefined && fresh) return true;
    try {
      const able = runtime.features().changeIdentity;
      const dir = join(this.#podDir, "volumes");
      this.#paths = await prepareVolumes(facts, dir, config, this.#tokens, able, csi);
      this.#preparedAt = now;
      this.#view.retriesOver("volumes");
      if (runtime.features().privateMounts) {
        const { domain } = this.#view.context.dns;
        writeHosts(this.#hostsPath(), facts.pod, podIPList(facts), domain);
      }
    } catch (error) {
      const { message } = error as Error;
      this.#view.event("Warning", "FailedMount", `MountVolume.SetUp ${message}`);
      this.#view.wakeAfter(this.#view.retryMillis("volumes"));
      // What was there before goes on being there.
      if (this.#paths === undefined) return false;
    }
    if (refreshable) this.#view.wakeAfter(kubeletLimits.volumeRefreshMillis);
    return true;
  }

  /** The pod's hosts file, unless a volume is mounted at its place. */
  hostsMounts(mounts: readonly Mount[]): readonly Mount[] {
    const containerPath = "/etc/hosts";
    if (!this.#view.context.runtime.features().privateMounts) return [];
    if (mounts.some((one) => one.containerPath === containerPath)) return [];
    return [{ hostPath: this.#hostsPath(), containerPath, readOnly: false }];
  }

  /** Why the pod is evicted, if it has outgrown a limit on the disk. Looks now and then. */
  async excess(): Promise<string | undefined> {
    const { clock, runtime } = this.#view.context;
    if (!limitsStorage(this.#view.pod())) return undefined;
    this.#measureAt ??= clock.monotonicMillis() + kubeletLimits.volumeMeasureMillis;
    const left = this.#measureAt - clock.monotonicMillis();
    if (left > 0) {
      this.#view.wakeAfter(left);
      return undefined;
    }
    this.#measureAt = undefined;
    this.#view.wakeAfter(kubeletLimits.volumeMeasureMillis);
    if (this.#paths === undefined) return undefined;
    return storageExcess(this.#view.pod(), this.#paths, runtime);
  }

  /** Removes the volumes; the termination messages stay. */
  async release(): Promise<void> {
    const dir = join(this.#podDir, "volumes");
    // Before anything is deleted: what a driver has mounted is not the pod's.
    await this.#view.context.csi?.release(dir, this.#view.pod().metadata?.uid ?? "");
    await unmountVolumes(dir);
    await rm(dir, { recursive: true, force: true });
    this.#paths = undefined;
  }

  /** Removes everything of the pod. */
  async remove(): Promise<void> {
    await this.release();
    await rm(this.#podDir, { recursive: true, force: true });
  }

  #hostsPath(): string {
    return join(this.#podDir, "etc-hosts");
  }
}
