/** Relays from a port of the node to one of a pod: TCP connections, and UDP with its answers. */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { connect, createServer, isIPv6, type Socket as TcpSocket } from "node:net";
import { kubeletLimits } from "../limits.ts";

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** Resolves to what ends the relay. Throws what the bind throws. */
export async function relayTcp(from: Endpoint, to: Endpoint): Promise<() => void> {
  const sockets = new Set<TcpSocket>();
  const server = createServer({ allowHalfOpen: true }, (incoming) => {
    const outgoing = connect({ ...to, allowHalfOpen: true });
    for (const [socket, other] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.once("close", () => {
        sockets.delete(socket);
        other.destroySoon();
      });
      socket.pipe(other);
    }
  });
  server.maxConnections = kubeletLimits.hostPortConnectionsMax;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ ...from, exclusive: true }, resolve);
  });
  server.on("error", () => undefined); // of one connection that could not be taken
  return () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
}

interface Flow {
  readonly socket: Socket;
  timer: NodeJS.Timeout;
}

/** Each client gets a socket of its own towards the pod, by which answers find back to it. */
export async function relayUdp(from: Endpoint, to: Endpoint): Promise<() => void> {
  const flows = new Map<string, Flow>();
  const server = createSocket(isIPv6(from.host) ? "udp6" : "udp4");
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.bind({ address: from.host, port: from.port, exclusive: true }, resolve);
  });
  server.on("error", () => undefined); // a client that is gone
  const end = (key: string) => {
    const flow = flows.get(key);
    flows.delete(key);
    clearTimeout(flow?.timer);
    flow?.socket.close();
  };
  const flowOf = (client: RemoteInfo): Flow | undefined => {
    const key = `${client.address}:${client.port}`;
    const idle = () => setTimeout(() => end(key), kubeletLimits.hostPortUdpIdleMillis).unref();
    const known = flows.get(key);
    if (known !== undefined) {
      clearTimeout(known.timer);
      known.timer = idle();
      return known;
    }
    // A flood of clients costs a bounded number of sockets; its datagrams are lost.
    if (flows.size >= kubeletLimits.hostPortConnectionsMax) return undefined;
    const socket = createSocket(isIPv6(to.host) ? "udp6" : "udp4");
    socket.on("message", (data) => server.send(data, client.port, client.address));
    socket.on("error", () => undefined); // the pod does not listen
    const flow = { socket, timer: idle() };
    flows.set(key, flow);
    return flow;
  };
  server.on("message", (data, client) => {
    flowOf(client)?.socket.send(data, to.port, to.host);
  });
  return () => {
    server.close();
    for (const key of [...flows.keys()]) end(key);
  };
}
