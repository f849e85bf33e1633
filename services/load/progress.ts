/** A bar on a terminal with the rate and p99 of the last second; nothing anywhere else. */
import type { Tick } from "./engine/messages.ts";

const barCells = 24;
const redrawMillis = 250;
const windowTicks = 4;

export class Progress {
  readonly #output: NodeJS.WriteStream;
  #label = "";
  #began = 0;
  #millis = 1;
  #window: { at: number; calls: number; failed: number; latencies: Float32Array }[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
  }

  /** A step begins that takes so long. */
  begin(label: string, millis: number): void {
    this.#label = label;
    this.#began = performance.now();
    this.#millis = Math.max(1, millis);
    this.#window = [];
    if (this.#output.isTTY) this.#timer ??= setInterval(() => this.#draw(), redrawMillis);
  }

  tick({ ok, slow, failed, latencies }: Tick): void {
    this.#window.push({ at: performance.now(), calls: ok + slow + failed, failed, latencies });
    const oldest = performance.now() - windowTicks * redrawMillis;
    this.#window = this.#window.filter(({ at }) => at >= oldest);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (this.#output.isTTY) this.#output.write("\r\u001b[K");
  }

  #draw(): void {
    const share = Math.min(1, (performance.now() - this.#began) / this.#millis);
    const full = Math.round(share * barCells);
    const bar = "█".repeat(full) + "░".repeat(barCells - full);
    const text = `${this.#label} ${bar} ${Math.round(share * 100)} %${this.live()}`;
    this.#output.write(`\r\u001b[K${text.slice(0, Math.max(20, this.#output.columns ?? 80) - 1)}`);
  }

  /** The last second in words; empty before the first tick. */
  live(): string {
    const [first] = this.#window;
    if (first === undefined) return "";
    const calls = this.#window.reduce((sum, each) => sum + each.calls, 0);
    const failed = this.#window.reduce((sum, each) => sum + each.failed, 0);
    const sorted = Float32Array.from(
      this.#window.flatMap(({ latencies }) => [...latencies]),
    ).sort();
    const p99 = sorted[Math.floor(sorted.length * 0.99)] ?? 0;
    const seconds = Math.max(redrawMillis, performance.now() - first.at + redrawMillis) / 1_000;
    const errors = failed > 0 ? ` · ${failed} failed` : "";
    return ` ${Math.round(calls / seconds)}/s · p99 ${p99.toFixed(1)} ms${errors}`;
  }
}
