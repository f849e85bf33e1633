/** The kubelet's port: the same one on each of the node's addresses. */
import { createRpcServer, type RpcServer, type ServerTls } from "../../ha/rpc/mod.ts";
import type { Log } from "../../ha/runtime/types.ts";
import { KubeletService } from "../../proto/gen/kubelet.ts";
import { kubeletHandlers } from "./handlers.ts";
import { type HttpSource, kubeletHttp } from "./http.ts";

export class KubeletPort {
  readonly #source: HttpSource;
  readonly #hosts: readonly string[];
  readonly #log: Log;
  readonly #servers: RpcServer[] = [];

  /** `hosts`: addresses of this machine. Nothing is served until `listen`. */
  constructor(source: HttpSource, hosts: readonly string[], log: Log) {
    this.#source = source;
    this.#hosts = hosts;
    this.#log = log;
  }

  /**
   * 0: any free port. `tls` absent: callers are not known, and none is refused. Resolves to the port;
   * rejects with a StatusError that names the address which cannot be listened on.
   */
  async listen(port: number, tls: ServerTls | undefined): Promise<number> {
    const secured = tls !== undefined;
    const log = this.#log;
    const handlers = kubeletHandlers(this.#source, secured);
    const http1 = kubeletHttp(this.#source, secured, log);
    let bound = port;
    for (const host of this.#hosts) {
      const server = createRpcServer({ log, tls, http1 });
      this.#servers.push(server);
      server.addService(KubeletService, handlers);
      bound = (await server.listen({ host, port: bound })).port;
    }
    return bound;
  }

  /** Shows another certificate to who connects from now on. */
  renewTls(tls: ServerTls): void {
    for (const server of this.#servers) server.renewTls(tls);
  }

  /** Lets calls end within the time; then closes. */
  async drain(graceMillis: number): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.drain(graceMillis)));
  }
}
