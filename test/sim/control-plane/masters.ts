/** An apiserver, watch cache included, on the store of each member that is alive. */
import type { Log } from "../../../ha/runtime/types.ts";
import { createBackend } from "../../../services/apiserver/apiserver.ts";
import { bootstrap } from "../../../services/apiserver/bootstrap.ts";
import { builtInRegistry } from "../../../services/kinds/mod.ts";
import { InProcessServer } from "../../client/in-process.ts";
import type { Cluster, Seat } from "../cluster.ts";

/** Requests end after this, so that one sent to a member without a quorum does not wait for long. */
const requestTimeoutMillis = 4_000;
const bookmarkMillis = 1_000;

export class Masters {
  readonly cluster: Cluster;
  readonly #servers = new Map<Seat, { readonly life: number; readonly server: InProcessServer }>();
  #uids = 0;

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  /** The apiserver of a member; undefined: the member is down, or is starting. */
  of(seat: Seat): InProcessServer | undefined {
    const { life, runtime, store } = seat;
    if (!runtime || !store || !this.cluster.isAlive(seat)) return undefined;
    const known = this.#servers.get(seat);
    if (known?.life === life) return known.server;
    const log: Log = this.cluster.world.log(seat.peer.id);
    const backend = createBackend({
      name: seat.peer.name,
      store,
      registry: builtInRegistry(),
      log,
      clock: runtime.clock,
      random: (limit) => runtime.random.below(limit),
      newUid: () => `uid-${++this.#uids}`,
      requestTimeoutMillis,
      bookmarkMillis,
    });
    const server = new InProcessServer(backend, log);
    this.#servers.set(seat, { life, server });
    backend.cache.start();
    const stopped = new AbortController();
    const gone = () => {
      seat.gone.delete(gone);
      stopped.abort();
    };
    seat.gone.add(gone);
    backend.cache.whenFilled().then(
      () => bootstrap(backend, stopped.signal),
      () => {
        // The member stopped before its cache was filled.
      },
    );
    return server;
  }
}
