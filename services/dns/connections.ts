/** Answers questions that come over TCP: each with its length before it, several at a time. */
import { createServer, type Server, type Socket } from "node:net";
import type { Log } from "../../ha/runtime/types.ts";
import { dnsLimits } from "./limits.ts";
import type { Respond } from "./server.ts";

export interface ConnectionServer {
  readonly server: Server;
  /** Accepts no more, and ends what is open. */
  close(): void;
}

/** Binds the address; several servers of a machine may bind the same one. */
export async function openConnections(
  host: string,
  port: number,
  respond: Respond,
  log: Log,
): Promise<ConnectionServer> {
  const open = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    serve(socket, respond);
  });
  server.maxConnections = dnsLimits.tcpConnectionsMax;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, reusePort: true }, () => {
      server.off("error", reject);
      server.on("error", (error) => log.warn("the DNS listener reports an error", { error }));
      resolve();
    });
  });
  return {
    server,
    close() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

function serve(socket: Socket, respond: Respond): void {
  let received: Buffer = Buffer.alloc(0);
  let pending = 0;
  socket.setTimeout(dnsLimits.tcpIdleMillis, () => socket.destroy());
  socket.on("error", () => socket.destroy());
  const send = (answer: Buffer) => {
    if (socket.destroyed) return;
    const head = Buffer.alloc(2);
    head.writeUInt16BE(answer.length);
    socket.write(Buffer.concat([head, answer]));
    // A client that asks and does not read is let go.
    if (socket.writableLength > dnsLimits.tcpUnreadBytesMax) socket.destroy();
  };
  const late = async (answer: Promise<Buffer>) => {
    pending += 1;
    send(await answer);
    pending -= 1;
    if (socket.isPaused() && !socket.destroyed) {
      socket.resume();
      read();
    }
  };
  const read = () => {
    for (;;) {
      if (socket.destroyed || received.length < 2) return;
      const end = 2 + received.readUInt16BE(0);
      if (end > 2 + dnsLimits.queryBytesMax) return void socket.destroy();
      if (received.length < end) return;
      if (pending >= dnsLimits.tcpPendingMax) return void socket.pause();
      const answer = respond(received.subarray(2, end), "stream");
      received = received.subarray(end);
      if (answer === undefined) return void socket.destroy();
      if (answer instanceof Uint8Array) send(answer);
      else void late(answer);
    }
  };
  socket.on("data", (piece) => {
    received = received.length === 0 ? piece : Buffer.concat([received, piece]);
    read();
  });
}
