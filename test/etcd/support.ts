/** A member's etcd face over a store of this process, and its generated clients. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  type CallOptions,
  type Client,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import {
  type Alarm,
  addEtcdServices,
  type EtcdServiceOptions,
  etcdLimits,
  type KeyHash,
  type MemberInfo,
  type StoreAdmin,
} from "../../ha/etcd/mod.ts";
import { type ClientConstructor, createRpcServer } from "../../ha/rpc/mod.ts";
import type { MemberId } from "../../ha/runtime/types.ts";
import {
  type DirectStore,
  openLocalStore,
  type Revision,
  type Store,
  storeErrors,
  type WatchLimits,
} from "../../ha/store/mod.ts";
import {
  AuthClient,
  ClusterClient,
  KVClient,
  LeaseClient,
  MaintenanceClient,
  WatchClient,
} from "../../proto/gen/etcd.ts";
import { ElectionClient } from "../../proto/gen/etcd_election.ts";
import { LockClient } from "../../proto/gen/etcd_lock.ts";
import { type LogLine, memoryLog } from "../rpc/helpers.ts";
import { memoryRuntime } from "../store/memory-runtime.ts";

/** A cluster of one, as far as an administrator can see. */
export class FakeAdmin implements StoreAdmin {
  readonly store: Store;
  readonly list: MemberInfo[] = [
    {
      id: 1 as MemberId,
      name: "local",
      peerUrls: ["http://127.0.0.1:2380"],
      clientUrls: ["http://127.0.0.1:2379"],
      learner: false,
    },
  ];
  readonly raised: Alarm[] = [];
  readonly calls: string[] = [];
  chunks: Uint8Array[] = [Buffer.from("a snapshot"), Buffer.alloc(70_000, 7)];

  constructor(store: Store) {
    this.store = store;
  }

  members(): Promise<readonly MemberInfo[]> {
    return Promise.resolve(this.list);
  }

  memberAdd(member: { peerUrls: readonly string[]; learner: boolean }): Promise<MemberInfo> {
    const id = (this.list.at(-1)!.id + 1) as MemberId;
    const added = { ...member, id, name: "", clientUrls: [] };
    this.list.push(added);
    return Promise.resolve(added);
  }

  async memberRemove(id: MemberId): Promise<void> {
    this.list.splice(this.indexOf(id), 1);
  }

  async memberUpdate(id: MemberId, peerUrls: readonly string[]): Promise<void> {
    const index = this.indexOf(id);
    this.list[index] = { ...this.list[index]!, peerUrls };
  }

  async memberPromote(id: MemberId): Promise<void> {
    const index = this.indexOf(id);
    if (!this.list[index]!.learner) throw storeErrors.memberNotLearner();
    this.list[index] = { ...this.list[index]!, learner: false };
  }

  private indexOf(id: MemberId): number {
    const index = this.list.findIndex((member) => member.id === id);
    if (index < 0) throw storeErrors.memberNotFound();
    return index;
  }

  async moveLeader(to: MemberId): Promise<void> {
    if (!this.list.some(({ id }) => id === to)) throw storeErrors.badTransferee();
    this.calls.push(`moveLeader ${to}`);
  }

  async defragment(): Promise<void> {
    this.calls.push("defragment");
  }

  async hashKv(revision: Revision | undefined): Promise<KeyHash> {
    const status = await this.store.status();
    const up = revision ?? status.revision;
    const all = { key: Buffer.of(0), rangeEnd: Buffer.of(0), revision: up };
    const { kvs } = await this.store.range(all);
    const digest = createHash("sha256");
    for (const { key, value } of kvs) digest.update(key).update(value);
    const hash = digest.digest().readUInt32BE();
    return { hash, compactRevision: status.compactRevision, revision: up };
  }

  async hash(): Promise<number> {
    return (await this.hashKv(undefined)).hash;
  }

  alarms(): Promise<readonly Alarm[]> {
    return Promise.resolve(this.raised);
  }

  async alarm(action: "activate" | "deactivate", alarm: Alarm): Promise<Alarm | undefined> {
    const index = this.raised.findIndex(
      ({ member, kind }) => member === alarm.member && kind === alarm.kind,
    );
    if (action === "activate") {
      if (index < 0) this.raised.push(alarm);
      return alarm;
    }
    return index < 0 ? undefined : this.raised.splice(index, 1)[0];
  }

  async *snapshot(): AsyncIterable<Uint8Array> {
    yield* this.chunks;
  }

  dbSize(): Promise<{ total: number; inUse: number }> {
    return Promise.resolve({ total: 20480, inUse: 16384 });
  }
}

/** The clients of a face. */
export interface FaceClients {
  readonly kv: KVClient;
  readonly watch: WatchClient;
  readonly lease: LeaseClient;
  readonly cluster: ClusterClient;
  readonly maintenance: MaintenanceClient;
  readonly auth: AuthClient;
  readonly lock: LockClient;
  readonly election: ElectionClient;
  close(): Promise<void>;
}

export interface Face extends FaceClients {
  readonly store: Store;
  readonly admin: FakeAdmin;
  readonly port: number;
  readonly lines: LogLine[];
}

export interface FaceOptions extends Partial<EtcdServiceOptions> {
  readonly watchLimits?: WatchLimits;
  readonly wrap?: (store: DirectStore) => DirectStore;
  /** Used instead of a member of this process; the test that opened it closes it. */
  readonly store?: DirectStore;
}

export async function openFace(options: FaceOptions = {}): Promise<Face> {
  const { watchLimits } = options;
  const local = options.store ?? (await openLocalStore(memoryRuntime(), { watchLimits }));
  const store = options.wrap?.(local) ?? local;
  const lines: LogLine[] = [];
  const log = memoryLog(lines);
  const { messageBytes: maxMessageBytes, requestBytes: maxRequestBytes } = etcdLimits;
  const server = createRpcServer({ log, maxMessageBytes, maxRequestBytes });
  const admin = new FakeAdmin(store);
  const services = addEtcdServices(server, store, admin, { log, ...options });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const clients = dialFace(port);
  return {
    ...clients,
    store,
    admin,
    port,
    lines,
    async close() {
      await clients.close();
      await server.close();
      await services.close();
      if (options.store === undefined) await local.close();
      const unexpected = lines.filter(({ level }) => level === "error");
      assert.deepEqual(unexpected, [], "no handler failed unexpectedly");
    },
  };
}

export function dialFace(port: number): FaceClients {
  const clients: Client[] = [];
  const dial = <C extends Client>(Constructor: ClientConstructor<C>): C => {
    const client = new Constructor(`127.0.0.1:${port}`, credentials.createInsecure());
    clients.push(client);
    return client;
  };
  return {
    kv: dial(KVClient),
    watch: dial(WatchClient),
    lease: dial(LeaseClient),
    cluster: dial(ClusterClient),
    maintenance: dial(MaintenanceClient),
    auth: dial(AuthClient),
    lock: dial(LockClient),
    election: dial(ElectionClient),
    async close() {
      for (const client of clients) client.close();
    },
  };
}

type Unary<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => { cancel(): void };

/** A unary call as a promise; a failed one rejects with grpc-js's error. */
export function call<Request, Response>(
  client: Client,
  method: Unary<Request, Response>,
  request: Request,
  headers: Record<string, string> = {},
): Promise<Response> & { cancel(): void } {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  let cancel = () => {};
  const answered = new Promise<Response>((resolve, reject) => {
    const under = method.call(client, request, metadata, {}, (error, response) => {
      if (error === null) resolve(response);
      else reject(error);
    });
    cancel = () => under.cancel();
  });
  return Object.assign(answered, { cancel: () => cancel() });
}

export async function refused(
  promise: Promise<unknown>,
  code: number,
  details: string,
): Promise<void> {
  await assert.rejects(promise, (error: ServiceError) => {
    assert.equal(error.details, details);
    assert.equal(error.code, code);
    return true;
  });
}

export const b = (text: string): Buffer => Buffer.from(text);

export function put(
  face: FaceClients,
  key: string,
  value: string,
  headers?: Record<string, string>,
) {
  return call(face.kv, face.kv.put, { key: b(key), value: b(value) }, headers);
}

/** `key=value` of each, in the order of the answer. */
export function shown(
  kvs: readonly { key?: Buffer | undefined; value?: Buffer | undefined }[] | undefined,
): string {
  return (kvs ?? []).map(({ key, value }) => `${key}=${value ?? ""}`).join(" ");
}
