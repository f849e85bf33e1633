import { createServer, connect as dial, type Server, type Socket } from "node:net";

/** Passes connections on, until it is told to cut them off. */
export class CuttingProxy {
  readonly #target: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  endpoint = "";
  refusing = false;

  constructor(target: string) {
    this.#target = target;
    this.#server = createServer((socket) => {
      if (this.refusing) return void socket.destroy();
      const [host = "", port] = this.#target.split(":");
      const upstream = dial(Number(port), host);
      for (const [from, to] of [
        [socket, upstream],
        [upstream, socket],
      ] as const) {
        this.#sockets.add(from);
        from.on("error", () => to.destroy());
        from.on("close", () => to.destroy());
        from.pipe(to);
      }
    });
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.endpoint = `127.0.0.1:${(this.#server.address() as { port: number }).port}`;
    return this;
  }

  cut(refusing: boolean): void {
    this.refusing = refusing;
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  close(): void {
    this.cut(true);
    this.#server.close();
  }
}
