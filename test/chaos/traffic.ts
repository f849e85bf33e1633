/**
 * A client of the service in a process of its own: several loops of GET requests, each over a new
 * connection. The process tells every failure with its times, and a count when it is stopped.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { get } from "node:http";

const loops = 4;
const pauseMillis = 40;
const requestMillisMax = 10_000;
const failuresMax = 10_000;

/** Times are `Date.now()`. */
export interface FailedRequest {
  readonly beganAt: number;
  readonly endedAt: number;
  readonly error: string;
}

interface Report {
  readonly sent: number;
  readonly failed: readonly FailedRequest[];
}

export class Traffic {
  readonly #child: ChildProcess;

  constructor(url: string) {
    this.#child = fork(import.meta.filename, [url]);
  }

  async stop(): Promise<Report> {
    const answer = once(this.#child, "message") as Promise<[Report]>;
    this.#child.send("stop");
    const [report] = await answer;
    this.#child.disconnect();
    return report;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

function request(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = get(url, { agent: false }, (response) => {
      response.resume();
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`HTTP ${response.statusCode}`));
      });
    });
    const timer = setTimeout(() => {
      sent.destroy(new Error(`no answer in ${requestMillisMax} ms`));
    }, requestMillisMax);
    sent.on("error", reject);
    sent.on("close", () => clearTimeout(timer));
  });
}

async function sendRequests(url: string): Promise<void> {
  const failed: FailedRequest[] = [];
  let sent = 0;
  let stopping = false;
  const loop = async () => {
    while (!stopping) {
      const beganAt = Date.now();
      sent++;
      await request(url).catch((error: Error) => {
        if (failed.length < failuresMax) {
          failed.push({ beganAt, endedAt: Date.now(), error: error.message });
        }
      });
      await new Promise((resolve) => setTimeout(resolve, pauseMillis));
    }
  };
  process.once("message", () => {
    stopping = true;
  });
  process.once("disconnect", () => process.exit());
  await Promise.all(Array.from({ length: loops }, loop));
  process.send?.({ sent, failed } satisfies Report);
}

if (import.meta.main) await sendRequests(process.argv[2] ?? "");
