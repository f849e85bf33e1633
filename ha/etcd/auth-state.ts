/**
 * This member's copy of the auth data: read when the etcd API starts, and again whenever a watch
 * reports a change.
 *
 * The copy may be old, because the member may be behind the others. While authentication is on, a
 * read checks its rights once more after it has read ({@link fresh}), and a write is carried out
 * only if the data that permitted it is still the newest (access.ts). While authentication is off
 * there is no check: that it has been turned on takes effect on a member once it has applied it.
 */
import { Code, StatusError } from "../runtime/status-error.ts";
import type { Log } from "../runtime/types.ts";
import type { Operation, Revision, Store, WatchStream } from "../store/mod.ts";
import { AuthData, authRange, putState, stateKey } from "./auth-records.ts";
import { etcdLimits } from "./limits.ts";

export interface AuthChange {
  readonly operations: readonly Operation[];
  /** Absent: as it is. */
  readonly enabled?: boolean | undefined;
  /** Absent: as it is. */
  readonly tokenKey?: Uint8Array | undefined;
  /** False: enabling is not counted, as in etcd. */
  readonly counts?: false | undefined;
}

export class AuthState {
  private readonly store: Store;
  private readonly log: Log;
  private data: AuthData | undefined;
  private loading: Promise<AuthData> | undefined;
  private stream: WatchStream | undefined;
  private wake: (() => void) | undefined;
  private closed = false;
  private readonly followed: Promise<void>;

  constructor(store: Store, log: Log) {
    this.store = store;
    this.log = log;
    this.followed = this.follow();
  }

  /** The copy; undefined until it has been read once. */
  get current(): AuthData | undefined {
    return this.data;
  }

  /** The copy, which is read first if there is none. */
  async load(): Promise<AuthData> {
    return this.data ?? (await this.reload());
  }

  /** At least as new as what this member had applied before the call. */
  async fresh(): Promise<AuthData> {
    const { data } = this;
    if (data === undefined) return this.reload();
    const { kvs, revision } = await this.store.range({ key: stateKey }, { serializable: true });
    const modRevision = kvs[0]?.modRevision ?? 0;
    if (modRevision === data.modRevision) return data;
    // A reading that was under way may have begun before what was just seen.
    const reloaded = await this.reload();
    return reloaded.storeRevision >= revision ? reloaded : this.read();
  }

  /** As {@link fresh}, and at least as new as any change acknowledged anywhere before the call. */
  async newest(): Promise<AuthData> {
    await this.store.readRevision();
    return this.fresh();
  }

  /** Calls of the same time share one reading. */
  reload(): Promise<AuthData> {
    this.loading ??= this.read().finally(() => {
      this.loading = undefined;
    });
    return this.loading;
  }

  private async read(): Promise<AuthData> {
    const response = await this.store.range(authRange, { serializable: true });
    const data = new AuthData(response.kvs, response.revision);
    if (this.data === undefined || this.data.storeRevision <= data.storeRevision) this.data = data;
    return this.data;
  }

  /**
   * Changes auth data. `decide` is given the newest data and returns the change, or undefined for
   * no change, or throws. It is called again when another change came first. Answers the revision.
   */
  async change(decide: (data: AuthData) => AuthChange | undefined): Promise<Revision> {
    await this.store.readRevision();
    for (let attempt = 0; attempt < etcdLimits.changeAttempts; attempt++) {
      const data = await this.read();
      const change = decide(data);
      if (change === undefined) return data.storeRevision;
      const state = putState({
        enabled: change.enabled ?? data.enabled,
        revision: change.counts === false ? data.revision : data.revision + 1,
        tokenKey: change.tokenKey ?? data.tokenKey,
      });
      const answer = await this.store.txn({
        compares: [{ key: stateKey, target: "mod", operator: "=", operand: data.modRevision }],
        success: [state, ...change.operations],
        failure: [],
      });
      if (answer.succeeded) {
        await this.read();
        return answer.revision;
      }
      // This member may not have applied yet what was in the way.
      await this.store.readRevision();
    }
    throw new StatusError(
      Code.aborted,
      `etcdserver: auth data was changed by others ${etcdLimits.changeAttempts} times in a row`,
    );
  }

  /** Keeps the copy up to date until `close`. */
  private async follow(): Promise<void> {
    while (!this.closed) {
      try {
        const { storeRevision } = await this.reload();
        const startRevision = (storeRevision + 1) as Revision;
        this.stream = this.store.watch({ key: stateKey, startRevision });
        if (this.closed) this.stream.close();
        for await (const _ of this.stream) await this.read();
      } catch (thrown) {
        const { message } = StatusError.from(thrown);
        this.log.debug("the watch on auth data broke and is opened again", { error: message });
      }
      if (!this.closed) await this.pause(etcdLimits.followMillis);
    }
  }

  private pause(millis: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, millis);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async close(): Promise<void> {
    this.closed = true;
    this.stream?.close();
    this.wake?.();
    await this.followed;
  }
}
