/** Sockets to a server, with or without TLS. */
import { connect as connectTcp, type Socket } from "node:net";
import {
  connect as connectTls,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from "node:tls";

/** How a client knows the server, and shows who it is. PEM texts. */
export interface ServerTls {
  /** Absent: the system's authorities. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** The name in the server's certificate, where it is not the address. */
  readonly serverName?: string | undefined;
  /** The server's certificate is not looked at. */
  readonly unverified?: boolean | undefined;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * Keeps what the next connection needs as well: the certificates, read once, and the TLS session of
 * the last connection, which spares a key exchange.
 */
export class Dialler {
  readonly #address: Address;
  readonly #tls: ServerTls | undefined;
  #context: SecureContext | undefined;
  #session: Buffer | undefined;
  /** The server has chosen another protocol. */
  refusesHttp2 = false;

  constructor(address: Address, tls: ServerTls | undefined) {
    this.#address = address;
    this.#tls = tls;
  }

  /** `connected` is called once the peer may be written to. A server without HTTP/2 is an error. */
  dial(connected: () => void): Socket {
    const to = { ...this.#address, noDelay: true };
    if (this.#tls === undefined) return connectTcp(to, connected);
    const { ca, cert, key, serverName, unverified } = this.#tls;
    this.#context ??= createSecureContext({ ca, cert, key });
    const socket: TLSSocket = connectTls(
      {
        ...{ ...to, secureContext: this.#context, ALPNProtocols: ["h2"] },
        rejectUnauthorized: unverified !== true,
        ...(serverName !== undefined && { servername: serverName }),
        ...(this.#session !== undefined && { session: this.#session }),
      },
      () => {
        this.refusesHttp2 = socket.alpnProtocol !== "h2";
        if (this.refusesHttp2) socket.destroy(new Error("it does not speak HTTP/2"));
        else connected();
      },
    );
    socket.on("session", (session) => {
      this.#session = session;
    });
    socket.once("error", ({ code }: NodeJS.ErrnoException) => {
      // A session that the server does not take must not be shown for ever.
      this.#session = undefined;
      if (code?.endsWith("ALERT_NO_APPLICATION_PROTOCOL")) this.refusesHttp2 = true;
    });
    return socket;
  }
}
