/** HTTP/2 without TLS to endpoints whose port says so (appProtocol `kubernetes.io/h2c`), as gRPC needs. */
import { type ClientHttp2Session, connect } from "node:http2";
import { ingressLimits as limits } from "./limits.ts";
import type { Endpoint } from "./relay.ts";

/** One connection to each endpoint, over which its requests go side by side. */
export class H2cSessions {
  readonly #sessions = new Map<string, Promise<ClientHttp2Session>>();

  /** Rejects when the endpoint takes no connection. */
  open({ ip, port }: Endpoint): Promise<ClientHttp2Session> {
    const key = `${ip.includes(":") ? `[${ip}]` : ip}:${port}`;
    const known = this.#sessions.get(key);
    if (known !== undefined) return known;
    const opened = this.#connect(key);
    this.#sessions.set(key, opened);
    return opened;
  }

  close(): void {
    for (const opened of this.#sessions.values()) {
      opened.then((session) => session.destroy()).catch(() => undefined); // it never opened
    }
    this.#sessions.clear();
  }

  #connect(key: string): Promise<ClientHttp2Session> {
    return new Promise((resolve, reject) => {
      const session = connect(`http://${key}`);
      const slow = setTimeout(() => session.destroy(), limits.connectMillis);
      const gone = () => {
        clearTimeout(slow);
        this.#sessions.delete(key);
        reject(new Error(`${key} takes no connection`));
      };
      session.on("connect", () => {
        clearTimeout(slow);
        resolve(session);
      });
      // Requests that are under way end by themselves; the next ones get a connection of their own.
      session.on("goaway", gone);
      session.on("close", gone);
      session.on("error", gone);
      session.setTimeout(limits.idleMillis, () => session.close());
    });
  }
}
