/**
 * How a proxy listens on an address that other proxies of the machine listen on too.
 *
 * Every proxy binds the address as an IPv4-mapped IPv6 one (`::ffff:127.32.0.10`), and the kernel
 * spreads connections over all of them. When one of them is frozen, the others also bind the plain
 * IPv4 address: Linux gives a connection to an IPv4 listener before any IPv6 one (see
 * `mapped-address.ts`), so that the frozen proxy gets none any more, although its sockets are still
 * there. When all proxies are well again, the plain listeners close.
 */
export interface PortListener {
  /** Rejects when the address cannot be bound. */
  listen(): Promise<void>;
  /** Listens before every proxy that has not done so; rejects when the address cannot be bound. */
  standIn(): Promise<void>;
  /** Listens beside the others again; connections go on. */
  stepBack(): void;
  /** The endpoints have changed. */
  refresh(): void;
  /** Stops listening at once; connections may end within the drain time. */
  close(): void;
  /** Ends everything now. */
  destroy(): void;
}
