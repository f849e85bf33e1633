/** etcd's API on the member's own thread: both ends. */
import type { ServeInThread, WorkerMember } from "../../ha/member/mod.ts";
import { type EtcdServer, type EtcdServerOptions, startEtcdServer } from "./etcd-server.ts";

type Options = Pick<EtcdServerOptions, "listen" | "tls" | "jwt">;

/** Resolves when etcd clients are served. To be closed before the member is. */
export function serveEtcd(member: WorkerMember, options: Options): Promise<EtcdServer> {
  return member.serve(import.meta.url, options);
}

/** What `serveEtcd` starts on the other thread. */
export const serve: ServeInThread<Options> = (store, options, log) =>
  startEtcdServer({ store, ...options, faults: store.faults, log });
