/** etcd's API on the member's own thread: both ends. */
import type { ServeInThread, WorkerMember } from "../../ha/member/mod.ts";
import { Tracing, type TracingSettings } from "../../ha/runtime/production/otlp.ts";
import { type EtcdServer, type EtcdServerOptions, startEtcdServer } from "./etcd-server.ts";

interface Options extends Pick<EtcdServerOptions, "listen" | "tls" | "jwt"> {
  /** Where the spans of calls go; absent: there are none. */
  readonly tracing?: TracingSettings | undefined;
}

/** Resolves when etcd clients are served. To be closed before the member is. */
export function serveEtcd(member: WorkerMember, options: Options): Promise<EtcdServer> {
  return member.serve(import.meta.url, options);
}

/** What `serveEtcd` starts on the other thread. */
export const serve: ServeInThread<Options> = async (store, { tracing: settings, ...rest }, log) => {
  const tracing = settings && new Tracing({ ...settings, log });
  const options = { store, ...rest, faults: store.faults, tracer: tracing?.tracer, log };
  const server = await startEtcdServer(options);
  return {
    port: server.port,
    async close() {
      await server.close();
      await tracing?.close();
    },
  };
};
