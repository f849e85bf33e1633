/** Asks a process for the memory that it really holds: its heaps after a garbage collection. */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { WebSocket } from "ws";

const openMillisMax = 10_000;
const answerMillisMax = 60_000;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly result?: unknown;
  readonly params?: { readonly sessionId?: string; readonly message?: string };
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * The inspector of a process that was started with `--inspect-port=0` in NODE_OPTIONS: it opens a
 * port when it gets SIGUSR1, and says which in its log.
 */
export class Inspector {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<string, Waiting>();
  readonly #workers = new Set<string>();
  #next = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data) =>
      this.#heard("", JSON.parse((data as Buffer).toString()) as Message),
    );
  }

  static async open(pid: number, logFile: string): Promise<Inspector> {
    process.kill(pid, "SIGUSR1");
    const deadline = Date.now() + openMillisMax;
    for (;;) {
      const [url] = /ws:\/\/127\.0\.0\.1:\d+\/[\w-]+/.exec(readFileSync(logFile, "utf8")) ?? [];
      if (url !== undefined) return Inspector.#connect(url);
      if (Date.now() > deadline) throw new Error(`process ${pid} opened no inspector`);
      await pause(50);
    }
  }

  static async #connect(url: string): Promise<Inspector> {
    const socket = new WebSocket(url, { maxPayload: 64 * 1024 * 1024 });
    await new Promise<void>((resolve, reject) => {
      socket.once("open", () => resolve());
      socket.once("error", reject);
    });
    const inspector = new Inspector(socket);
    await inspector.#ask("", "NodeWorker.enable", { waitForDebuggerOnStart: false });
    return inspector;
  }

  /** Bytes in use of the main thread's heap and of each worker's, garbage apart. */
  async heapBytes(): Promise<number[]> {
    const sizes: number[] = [];
    for (const session of ["", ...this.#workers]) {
      // What the first collection frees may hold on to more, through finalizers and weak maps.
      for (let round = 0; round < 3; round++) {
        await this.#ask(session, "HeapProfiler.collectGarbage");
      }
      const answer = (await this.#ask(session, "Runtime.getHeapUsage")) as {
        readonly usedSize: number;
        readonly backingStorageSize?: number;
      };
      sizes.push(answer.usedSize + (answer.backingStorageSize ?? 0));
    }
    return sizes;
  }

  close(): void {
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#socket.close();
  }

  #heard(session: string, { id, method, result, params }: Message): void {
    const sessionId = params?.sessionId ?? "";
    if (method === "NodeWorker.attachedToWorker") this.#workers.add(sessionId);
    if (method === "NodeWorker.detachedFromWorker") this.#workers.delete(sessionId);
    if (method === "NodeWorker.receivedMessageFromWorker") {
      this.#heard(sessionId, JSON.parse(params?.message ?? "{}") as Message);
    }
    if (id === undefined) return;
    const key = `${session} ${id}`;
    const waiting = this.#waiting.get(key);
    this.#waiting.delete(key);
    clearTimeout(waiting?.timer);
    waiting?.resolve(result);
  }

  #ask(session: string, method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#next;
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`${method} was not answered`));
      const timer = setTimeout(late, answerMillisMax);
      this.#waiting.set(`${session} ${id}`, { resolve, timer });
      const message = JSON.stringify({ id, method, params });
      if (session === "") this.#socket.send(message);
      else this.#tell(session, message);
    });
  }

  #tell(sessionId: string, message: string): void {
    const id = ++this.#next;
    const method = "NodeWorker.sendMessageToWorker";
    this.#socket.send(JSON.stringify({ id, method, params: { sessionId, message } }));
  }
}
