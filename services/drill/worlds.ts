/** Finds a world for each drill: the cluster that is up, or throw-away ones, started when needed. */
import type { Drill } from "./drill.ts";
import type { DrillOptions } from "./options.ts";
import { ClusterWorld, runningCluster } from "./world/cluster-world.ts";
import { StoreWorld } from "./world/store-world.ts";
import type { FaceName, World } from "./world/world.ts";

export class Worlds {
  readonly #options: DrillOptions;
  readonly #tell: (text: string) => void;
  readonly #running: boolean;
  #cluster: ClusterWorld | undefined;
  #store: StoreWorld | undefined;
  #cold = false;

  constructor(options: DrillOptions, tell: (text: string) => void) {
    this.#options = options;
    this.#tell = tell;
    // A suite strikes everything: it is held on a cluster of its own, unless one was named.
    const wanted = options.named || !options.suite;
    this.#running = wanted && runningCluster(options.dataDirectory) !== undefined;
  }

  get throwAway(): boolean {
    return !this.#running;
  }

  /** Throws an Error that says what to do, before anything is started or struck. */
  check(): void {
    const { named, dataDirectory, drills, face, victim } = this.#options;
    if (named && !this.#running) {
      throw new Error(
        `no cluster is up in ${dataDirectory}: start it with \`npm start -- --data-dir ` +
          `${dataDirectory}\`, or leave --data-dir away for a throw-away cluster`,
      );
    }
    for (const { name, world } of drills) {
      if (world === "store" && face !== undefined && face !== "etcd" && drills.length === 1) {
        throw new Error(`${name} is held on a store alone: only --against etcd is there`);
      }
    }
    const endpoints = this.#running ? runningCluster(dataDirectory) : undefined;
    if (endpoints === undefined) return;
    const strikesMasters = drills.find(({ world }) => world === "masters");
    if (endpoints.masters.length < 3 && strikesMasters) {
      throw new Error(
        `${strikesMasters.name}: the cluster in ${dataDirectory} has ` +
          `${endpoints.masters.length} master, and no other can take over; start one with --masters 3`,
      );
    }
    const setsFaults = drills.find(({ needsFaults, world }) => needsFaults && world !== "store");
    if (setsFaults && endpoints.faults !== true) {
      throw new Error(
        `${setsFaults.name} sets faults into masters, and those of ${dataDirectory} do not take ` +
          "any: start the cluster with `npm start -- --enable-faults`, or stop it, and the drill " +
          "is held on a throw-away cluster",
      );
    }
    if (drills.some(({ name }) => name.startsWith("node-")) && endpoints.nodes.length < 2) {
      throw new Error(
        `the cluster in ${dataDirectory} has ${endpoints.nodes.length} nodes: 2 are needed`,
      );
    }
    if (victim !== undefined) this.#checkVictim(victim, endpoints);
  }

  /** The world of this drill; started when it is the first that needs it. */
  async of(drill: Drill): Promise<World> {
    const { face, basePort, suite } = this.#options;
    const alone = drill.world === "store" || (drill.world === "masters" && face === "etcd");
    if (alone && !(this.#running && drill.world !== "store")) {
      if (this.#store === undefined) {
        this.#tell("starting a store of three members");
        this.#store = await StoreWorld.start(basePort);
      }
      return this.#store;
    }
    if (this.#cluster !== undefined) return this.#cluster;
    if (this.#running) this.#cluster = new ClusterWorld(this.#options.dataDirectory);
    else {
      this.#tell("starting a throw-away cluster");
      const nodes = suite || drill.world === "cluster" || drill.pods ? 3 : 0;
      this.#cluster = await ClusterWorld.start(nodes);
      this.#cold = true;
    }
    return this.#cluster;
  }

  /** Whether the world is a cluster that has done no work yet; true once. */
  takeCold(world: World): boolean {
    const cold = this.#cold && world === this.#cluster;
    if (cold) this.#cold = false;
    return cold;
  }

  faceOf(drill: Drill, world: World): FaceName {
    if (world.kind === "store") return "etcd";
    return this.#options.face ?? (drill.world === "store" ? "etcd" : "api");
  }

  async close(): Promise<void> {
    await this.#cluster?.close();
    await this.#store?.close();
    this.#cluster = undefined;
    this.#store = undefined;
  }

  #checkVictim(victim: string, endpoints: NonNullable<ReturnType<typeof runningCluster>>): void {
    const { masters, balancers, schedulers, controllerManagers, nodes } = endpoints;
    const all = [...masters, ...balancers, ...schedulers, ...controllerManagers, ...nodes];
    if (victim === "leader" || victim === "follower") return;
    if (all.some(({ name }) => name === victim)) return;
    const names = all.map(({ name }) => name).join(", ");
    throw new Error(`flag --victim: nothing is called "${victim}"; there are ${names}`);
  }
}
