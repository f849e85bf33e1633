/**
 * Serving clients in the member's own thread: for a face that adds little work of its own, a call
 * is spared two crossings between threads, which cost more than the call.
 */
import type { Log } from "../runtime/types.ts";
import type { MemberStore } from "./member-store.ts";

export interface ThreadService {
  readonly port: number;
  /** Drains. Before the member is closed. */
  close(): Promise<void>;
}

/** What such a module exports as `serve`. Options cross between threads: plain values. */
export type ServeInThread<Options> = (
  member: MemberStore,
  options: Options,
  log: Log,
) => Promise<ThreadService>;

/** The services that run in this thread. */
export class ThreadServices {
  readonly #running = new Map<number, ThreadService>();
  #count = 0;

  /** `module`: the URL of a module with a `serve`. */
  async start(
    module: string,
    member: MemberStore,
    options: unknown,
    log: Log,
  ): Promise<{ service: number; port: number }> {
    const { serve } = (await import(module)) as { serve: ServeInThread<unknown> };
    const running = await serve(member, options, log);
    const service = ++this.#count;
    this.#running.set(service, running);
    return { service, port: running.port };
  }

  async stop(service: number): Promise<void> {
    await this.#running.get(service)?.close();
    this.#running.delete(service);
  }
}
