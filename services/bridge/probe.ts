/** A small read through the balancers ten times a second, as long as the bridge is looked at. */
import { NamespacesService } from "../../proto/gen/core.ts";
import { Call, LoadClient, type LoadTls, okCode, RequestTemplate } from "../load/client/mod.ts";

const everyMillis = 100;
const deadlineMillis = 5_000;

export class Probe {
  readonly #client: LoadClient;
  readonly #template: RequestTemplate;
  readonly #timer: NodeJS.Timeout;
  #latencies: number[] = [];
  #failed = 0;
  #begun: number[] = [];

  constructor(addresses: readonly string[], tls: LoadTls) {
    this.#client = new LoadClient({ addresses, protocol: "grpc", tls, deadlineMillis });
    const { path, requestSerialize } = NamespacesService.get;
    const to = { scheme: "https", authority: addresses[0] ?? "", path };
    this.#template = RequestTemplate.grpc(to, requestSerialize({ name: "default" }));
    this.#timer = setInterval(() => this.#ask(), everyMillis);
  }

  /** What has come since the last time; calls that are still waited for count with their age. */
  take(): { readonly p50?: number; readonly p99?: number; readonly failed: number } {
    const at = performance.now();
    const waiting = this.#begun.map((begun) => at - begun).filter((age) => age > everyMillis);
    const sorted = [...this.#latencies, ...waiting].sort((a, b) => a - b);
    const failed = this.#failed;
    this.#latencies = [];
    this.#failed = 0;
    const share = (part: number) => sorted[Math.floor((sorted.length - 1) * part)] ?? 0;
    return sorted.length === 0 ? { failed } : { p50: share(0.5), p99: share(0.99), failed };
  }

  close(): void {
    clearInterval(this.#timer);
    this.#client.close();
  }

  #ask(): void {
    const begun = performance.now();
    this.#begun.push(begun);
    const call = new Call(({ code }) => {
      this.#begun = this.#begun.filter((each) => each !== begun);
      if (code === okCode) this.#latencies.push(performance.now() - begun);
      else this.#failed++;
    });
    this.#client.send(this.#template, call);
  }
}
