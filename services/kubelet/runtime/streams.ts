/** Streams into and out of containers: what CRI serves over its streaming server. */

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export interface StreamOptions {
  /** The client sends input. */
  readonly stdin: boolean;
  /** The program runs on a terminal; its output then is one stream, stdout. */
  readonly tty: boolean;
  /** First size of the terminal. */
  readonly size?: TerminalSize | undefined;
  /**
   * Ends the session: an exec's program is killed where the runtime can (CRI cannot), an attached
   * one runs on.
   */
  readonly signal: AbortSignal;
}

/**
 * One program's input and output. Each output is read by one reader at most; what is not read
 * holds the program back (pipe buffers are bounded), and is never dropped.
 */
export interface ExecSession {
  readonly stdout: AsyncIterable<Uint8Array>;
  /** Ends at once on a terminal. */
  readonly stderr: AsyncIterable<Uint8Array>;
  /** Resolves when more is wanted. Of a program without stdin or at its end: nothing happens. */
  write(data: Uint8Array): Promise<void>;
  /** The client sends no more: the program reads the end of its input. */
  endInput(): void;
  /** Without a terminal: nothing happens. */
  resize(size: TerminalSize): Promise<void>;
  /**
   * After the program's exit, 128 + n when signal n ended it. Of an attached session that its
   * client left, and of an exec's that runs on: undefined. Resolves also when the client does not
   * read the output. Rejects with StatusError when the program could not be run.
   */
  readonly exitCode: Promise<number | undefined>;
}

/** One connection, both ways. */
export interface ByteStream {
  /**
   * Ends when the other side sends no more. Throws StatusError unavailable when it breaks, or, in a
   * runtime that learns so late, when the port could not be reached.
   */
  readonly incoming: AsyncIterable<Uint8Array>;
  /** Resolves when more is wanted. */
  write(data: Uint8Array): Promise<void>;
  /** No more is sent; what comes in goes on coming. */
  end(): void;
  /** Drops the connection. Idempotent. */
  close(): void;
}
