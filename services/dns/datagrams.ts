/** Answers questions that come as datagrams. */
import { createSocket, type Socket } from "node:dgram";
import type { Log } from "../../ha/runtime/types.ts";
import type { Respond } from "./server.ts";

/** Binds the address; several servers of a machine may bind the same one. */
export function openDatagrams(
  address: string,
  port: number,
  respond: Respond,
  log: Log,
): Promise<Socket> {
  const type = address.includes(":") ? "udp6" : "udp4";
  const socket = createSocket({
    type,
    reusePort: true,
    // Answers go to the addresses that questions came from; there is nothing to look up.
    lookup: (host, _options, callback) => callback(null, host, type === "udp6" ? 6 : 4),
  });
  let closed = false;
  socket.on("close", () => {
    closed = true;
  });
  const send = (answer: Buffer, to: number, host: string) => {
    // A client that is gone is none of the server's business.
    if (!closed) socket.send(answer, to, host, () => undefined);
  };
  socket.on("message", (bytes, from) => {
    const answer = respond(bytes, "datagram");
    if (answer === undefined) return;
    if (answer instanceof Uint8Array) send(answer, from.port, from.address);
    else void answer.then((late) => send(late, from.port, from.address));
  });
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      socket.close();
      reject(error);
    };
    socket.once("error", fail);
    socket.bind({ address, port }, () => {
      socket.off("error", fail);
      socket.on("error", (error) => log.warn("the DNS socket reports an error", { error }));
      resolve(socket);
    });
  });
}
