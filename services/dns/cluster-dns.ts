/** The cluster's DNS from the API: keeps the zone as services and their endpoints change. */
import { randomInt } from "node:crypto";
import type { Cell, Family, MetricsRegistry } from "../../ha/runtime/metrics.ts";
import type { Clock, Log } from "../../ha/runtime/types.ts";
import type { Service } from "../../proto/gen/core.ts";
import type { EndpointSlice } from "../../proto/gen/discovery.ts";
import { type InformerFactory, keyOf, splitKey } from "../client/mod.ts";
import { Forwarder } from "./forwarder.ts";
import { recordsOf } from "./records.ts";
import { Responder } from "./responder.ts";
import { DnsServer } from "./server.ts";
import { Zone } from "./zone.ts";

export interface ClusterDnsOptions {
  readonly informers: InformerFactory;
  readonly address: string;
  readonly port: number;
  /** e.g. cluster.local */
  readonly domain: string;
  /** The resolv.conf whose servers know all other names; undefined: no server is asked. */
  readonly upstreamFile: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: MetricsRegistry;
}

const serviceLabel = "kubernetes.io/service-name";
/** A refresh that takes longer is followed by a pause of so many times its length. */
const briefMillis = 5;
const refreshPause = 4;
const sliceIndex = "service of the slice";

export class ClusterDns {
  readonly #options: ClusterDnsOptions;
  readonly #zone: Zone;
  readonly #server: DnsServer;
  readonly #forwarder: Forwarder | undefined;
  /** Services whose records are to be made anew. */
  readonly #changed = new Set<string>();
  #pending = false;
  /** How long the last refresh took. */
  #refreshMillis = 0;

  constructor(options: ClusterDnsOptions) {
    const { address, port, domain, upstreamFile, clock, log } = options;
    this.#options = options;
    this.#zone = new Zone(domain);
    this.#forwarder =
      upstreamFile === undefined
        ? undefined
        : new Forwarder({
            file: upstreamFile,
            own: [address],
            clock,
            log,
            randomId: () => randomInt(65_536),
          });
    const forwarder = this.#forwarder;
    const responder = new Responder({
      zone: this.#zone,
      address,
      forward: forwarder && ((query, transport) => forwarder.ask(query, transport)),
      answered: counting(options.metrics),
    });
    this.#server = new DnsServer({
      ...{ address, port, clock, log },
      respond: (bytes, transport) => responder.respond(bytes, transport),
    });
  }

  /** Why it does not serve; undefined: it does. */
  get obstacle(): string | undefined {
    return this.#server.obstacle;
  }

  /** Serves once the services are known: half the truth would deny names that there are. */
  async start(signal: AbortSignal): Promise<void> {
    const services = this.#services();
    const slices = this.#slices();
    slices.addIndex(sliceIndex, (slice) => [serviceOf(slice)]);
    await Promise.all([services.whenSynced(signal), slices.whenSynced(signal)]);
    if (signal.aborted) return;
    const service = (object: Service) => this.#mark(keyOf(object));
    const slice = (object: EndpointSlice) => this.#mark(serviceOf(object));
    services.addHandlers({ added: service, updated: (_, next) => service(next), deleted: service });
    slices.addHandlers({
      added: slice,
      updated(previous, next) {
        if (serviceOf(previous) !== serviceOf(next)) slice(previous);
        slice(next);
      },
      deleted: slice,
    });
    this.#refresh();
    await this.#server.start();
  }

  /** Listens before the servers of the machine that are frozen, or beside all of them again. */
  setStandingIn(standingIn: boolean): Promise<void> {
    return this.#server.setStandingIn(standingIn);
  }

  /** Idempotent. */
  close(): void {
    this.#server.close();
    this.#forwarder?.close();
  }

  #services() {
    return this.#options.informers.informer("Service");
  }

  #slices() {
    return this.#options.informers.informer("EndpointSlice");
  }

  #mark(key: string): void {
    this.#changed.add(key);
    if (this.#pending) return;
    this.#pending = true;
    const refresh = () => {
      this.#pending = false;
      this.#refresh();
    };
    const { clock } = this.#options;
    // A service of thousands of endpoints that change one by one must not take all the time.
    if (this.#refreshMillis < briefMillis) clock.soon(refresh);
    else clock.after(refreshPause * this.#refreshMillis, refresh);
  }

  #refresh(): void {
    const { clock } = this.#options;
    const begin = clock.monotonicMillis();
    for (const key of this.#changed) {
      const { name, namespace = "" } = splitKey(key);
      const service = this.#services().lister.get(name, namespace);
      const records = service && recordsOf(service, this.#slices().lister.byIndex(sliceIndex, key));
      this.#zone.set(namespace, name, records);
    }
    this.#changed.clear();
    this.#refreshMillis = clock.monotonicMillis() - begin;
  }
}

function serviceOf({ metadata }: EndpointSlice): string {
  return `${metadata?.namespace}/${metadata?.labels?.[serviceLabel] ?? ""}`;
}

/** Cells are kept by type and code, so that to count costs an addition. */
function counting(metrics: MetricsRegistry) {
  const family: Family<Cell> = metrics.counter(
    "trireme_dns_responses_total",
    "DNS answers by record type, response code and where they came from.",
    ["type", "rcode", "source"],
  );
  const cells = new Map<number, Cell>();
  return (type: number, code: number, source: "zone" | "upstream") => {
    const key = ((type << 5) | (code << 1) | (source === "zone" ? 1 : 0)) >>> 0;
    let cell = cells.get(key);
    if (cell === undefined) {
      cell = family.labels(`${type}`, `${code}`, source);
      if (cells.size < cellsMax) cells.set(key, cell);
    }
    cell.inc();
  };
}

const cellsMax = 1_000;
