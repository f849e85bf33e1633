/** Joins the informers to the proxy: any change recomputes all rules, at most once a turn. */
import type { Clock, Log } from "../../ha/runtime/types.ts";
import {
  createEventRecorder,
  type EventRecorder,
  InformerFactory,
  type TriremeClient,
} from "../client/mod.ts";
import { ServiceProxy } from "./proxy.ts";
import { desiredRules, type RuleScope } from "./rules.ts";

export interface KubeProxyOptions extends RuleScope {
  readonly client: TriremeClient;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

export class KubeProxy {
  readonly #options: KubeProxyOptions;
  readonly #informers: InformerFactory;
  readonly #events: EventRecorder;
  readonly #proxy: ServiceProxy;
  readonly #stop = new AbortController();
  #pending = false;
  #applying: Promise<void> = Promise.resolve();

  constructor(options: KubeProxyOptions) {
    const { client, clock, log, nodeName } = options;
    this.#options = options;
    this.#informers = new InformerFactory({ client, log, clock });
    this.#events = createEventRecorder({
      events: client.events,
      component: "kube-proxy",
      host: nodeName,
      clock,
      log,
    });
    this.#proxy = new ServiceProxy({
      clock,
      log,
      random: options.random,
      bindFailed: (rule, message) => {
        const service = this.#services().lister.get(rule.service, rule.namespace);
        if (service === undefined) return;
        const about = { ...service, apiVersion: "v1", kind: "Service" };
        const text = `kube-proxy on ${nodeName} cannot listen on ${rule.key}: ${message}`;
        this.#events.event(about, "Warning", "FailedToBind", text);
      },
    });
  }

  /** Resolves once services and endpoints are known; never, while there is no API. */
  async start(): Promise<void> {
    const { signal } = this.#stop;
    const services = this.#services();
    const endpoints = this.#endpoints();
    this.#informers.start(signal);
    await Promise.all([services.whenSynced(signal), endpoints.whenSynced(signal)]);
    if (signal.aborted) return;
    // Before both are known, nothing is listened on: half the truth would refuse connections.
    const changed = () => this.#changed();
    services.addHandlers({ added: changed, updated: changed, deleted: changed });
    endpoints.addHandlers({ added: changed, updated: changed, deleted: changed });
    this.#changed();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#applying;
    this.#proxy.close();
    await this.#events.flush();
    await this.#informers.ended();
  }

  #services() {
    return this.#informers.informer("Service");
  }

  #endpoints() {
    return this.#informers.informer("Endpoints");
  }

  #changed(): void {
    if (this.#pending) return;
    this.#pending = true;
    this.#options.clock.soon(() => {
      this.#pending = false;
      this.#applying = this.#applying.then(() => this.#apply());
    });
  }

  async #apply(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const services = this.#services().lister.list();
    const endpoints = this.#endpoints().lister.list();
    try {
      await this.#proxy.apply(desiredRules(services, endpoints, this.#options));
    } catch (error) {
      this.#options.log.error("the rules could not be applied", { error });
    }
  }
}
