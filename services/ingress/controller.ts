/** Keeps the proxy's routes and certificates as the API's objects change, and their status. */
import { isDeepStrictEqual } from "node:util";
import type { MetricsRegistry } from "../../ha/runtime/metrics.ts";
import { StatusError } from "../../ha/runtime/status-error.ts";
import type { Cancel, Clock, Log } from "../../ha/runtime/types.ts";
import type { EndpointSlice } from "../../proto/gen/discovery.ts";
import type { Ingress } from "../../proto/gen/networking.ts";
import {
  createEventRecorder,
  type EventRecorder,
  InformerFactory,
  isAlreadyExists,
  isConflict,
  isNotFound,
  type TriremeClient,
} from "../client/mod.ts";
import { clusterTargets, endpointsOf } from "../kube-proxy/endpoints.ts";
import { Certificates, type Problem } from "./certificates.ts";
import { ingressLimits } from "./limits.ts";
import { IngressProxy, type Resolution } from "./proxy.ts";
import {
  controllerName,
  defaultClassAnnotation,
  ownIngresses,
  type RouteTable,
  routeOf,
  routeTable,
  servicePort,
} from "./route-table.ts";

export interface IngressControllerOptions {
  readonly client: TriremeClient;
  readonly host: string;
  readonly httpPort: number;
  readonly httpsPort: number;
  /** What the Ingresses' status says; absent: `host`. */
  readonly publishAddress?: string | undefined;
  /** Name of the class that is made if there is none of this controller; empty: none is made. */
  readonly className: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: MetricsRegistry;
}

const serviceLabel = "kubernetes.io/service-name";
const sliceIndex = "service of the slice";

export class IngressController {
  readonly #options: IngressControllerOptions;
  readonly #informers: InformerFactory;
  readonly #events: EventRecorder;
  readonly #certificates = new Certificates();
  readonly #proxy: IngressProxy;
  readonly #stop = new AbortController();
  #table: RouteTable = routeTable([]);
  #rebuild: Cancel | undefined;
  #synced = false;
  #turn = 0;
  #told = new Set<string>();
  #statusWork: Promise<void> = Promise.resolve();

  constructor(options: IngressControllerOptions) {
    const { client, clock, log, metrics } = options;
    this.#options = options;
    this.#informers = new InformerFactory({ client, clock, log });
    this.#events = createEventRecorder({
      events: client.events,
      component: "ingress-controller",
      ...{ clock, log },
    });
    const answers = metrics.counter(
      "trireme_ingress_requests_total",
      "Answers to requests by their status.",
      ["code"],
    );
    this.#proxy = new IngressProxy({
      ...{ host: options.host, httpPort: options.httpPort, httpsPort: options.httpsPort, log },
      resolve: (host, path) => this.#resolve(host, path),
      contextFor: (host) => this.#certificates.contextFor(host),
      answered: (status) => answers.labels(String(status)).inc(),
    });
  }

  get synced(): boolean {
    return this.#synced;
  }

  /** Listens once all objects are known: half the truth would answer 404. */
  async start(): Promise<{ readonly http: number; readonly https: number } | undefined> {
    const { signal } = this.#stop;
    const slices = this.#slices();
    slices.addIndex(sliceIndex, (slice) => [serviceOf(slice)]);
    const ingresses = this.#informers.informer("Ingress");
    const classes = this.#informers.informer("IngressClass");
    const secrets = this.#informers.informer("Secret");
    const services = this.#services();
    this.#informers.start(signal);
    await this.#informers.whenSynced(signal);
    if (signal.aborted) return undefined;
    await this.#makeClass();
    const changed = () => this.#changed();
    ingresses.addHandlers({ added: changed, updated: changed, deleted: changed });
    classes.addHandlers({ added: changed, updated: changed, deleted: changed });
    secrets.addHandlers({ added: changed, updated: changed, deleted: changed });
    services.addHandlers({ added: changed, updated: changed, deleted: changed });
    this.#update();
    const ports = await this.#proxy.listen();
    this.#synced = true;
    return ports;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#rebuild?.();
    await this.#proxy.close();
    await this.#statusWork;
    await this.#events.flush();
    await this.#informers.ended();
  }

  #services() {
    return this.#informers.informer("Service");
  }

  #slices() {
    return this.#informers.informer("EndpointSlice");
  }

  #changed(): void {
    if (this.#rebuild !== undefined) return;
    this.#rebuild = this.#options.clock.after(ingressLimits.rebuildMillis, () => this.#update());
  }

  #update(): void {
    this.#rebuild = undefined;
    const list = this.#informers.informer("Ingress").lister.list();
    const own = ownIngresses(list, this.#informers.informer("IngressClass").lister.list());
    this.#table = routeTable(own);
    const secrets = this.#informers.informer("Secret").lister;
    const problems = [
      ...this.#certificates.update(own, (namespace, name) => secrets.get(name, namespace)),
      ...own.flatMap((ingress) => this.#problemsOf(ingress)),
    ];
    this.#tell(problems);
    this.#statusWork = this.#statusWork.then(() => this.#writeStatus(own));
  }

  /** Each problem once, for as long as it lasts. */
  #tell(problems: readonly Problem[]): void {
    const now = new Set<string>();
    for (const { ingress, message } of problems) {
      const key = `${ingress.metadata?.uid} ${message}`;
      now.add(key);
      if (this.#told.has(key)) continue;
      const about = { ...ingress, apiVersion: "networking.k8s.io/v1", kind: "Ingress" };
      this.#events.event(about, "Warning", "Rejected", message);
    }
    this.#told = now;
  }

  #problemsOf(ingress: Ingress): readonly Problem[] {
    const { metadata, spec } = ingress;
    const paths = (spec?.rules ?? []).flatMap(({ http }) => http?.paths ?? []);
    const backends = [spec?.defaultBackend, ...paths.map(({ backend }) => backend)];
    return backends.flatMap((backend): Problem[] => {
      if (backend?.resource !== undefined) {
        const { kind = "", name = "" } = backend.resource;
        const message = `the backend ${kind} "${name}" is no service; requests for it get 404`;
        return [{ ingress, message }];
      }
      const { name = "", port } = backend?.service ?? {};
      if (name === "") return [];
      const service = this.#services().lister.get(name, metadata?.namespace);
      if (service === undefined) {
        return [{ ingress, message: `the service "${name}" does not exist` }];
      }
      const to = port?.name || port?.number || 0;
      if (service.spec?.type === "ExternalName" || servicePort(service, to)) return [];
      return [{ ingress, message: `the service "${name}" has no port ${to}` }];
    });
  }

  #resolve(host: string, path: string): Resolution {
    const backend = routeOf(this.#table, host, path);
    if (backend === undefined) {
      return { status: 404, message: `no ingress has a rule for ${host}${path}` };
    }
    const { namespace, service: name, port } = backend;
    const service = this.#services().lister.get(name, namespace);
    const refuse = (message: string): Resolution => ({ status: 503, message });
    if (service === undefined) return refuse(`the service "${name}" does not exist`);
    if (service.spec?.type === "ExternalName") {
      if (typeof port === "string") return refuse(`the service "${name}" has no port "${port}"`);
      return { endpoints: [{ ip: service.spec.externalName ?? "", port }] };
    }
    const wanted = servicePort(service, port);
    if (wanted === undefined) return refuse(`the service "${name}" has no port ${port}`);
    const slices = this.#slices().lister.byIndex(sliceIndex, `${namespace}/${name}`);
    const place = { node: undefined, zone: undefined };
    const family = service.spec?.ipFamilies?.[0] === "IPv6" ? "IPv6" : "IPv4";
    const endpoints = clusterTargets(endpointsOf(slices, wanted, family), place);
    if (endpoints.length === 0) return refuse(`the service "${name}" has no ready endpoint`);
    const first = this.#turn++ % endpoints.length;
    const inTurn = [...endpoints.slice(first), ...endpoints.slice(0, first)];
    const h2c = wanted.appProtocol === "kubernetes.io/h2c";
    return { endpoints: h2c ? inTurn.map((one) => ({ ...one, h2c })) : inTurn };
  }

  async #writeStatus(own: readonly Ingress[]): Promise<void> {
    const { client, log, host, publishAddress = host } = this.#options;
    const wanted = [{ ip: publishAddress }];
    for (const ingress of own) {
      if (this.#stop.signal.aborted) return;
      const before = ingress.status?.loadBalancer?.ingress ?? [];
      if (
        isDeepStrictEqual(
          before.map(({ ip }) => ({ ip })),
          wanted,
        )
      )
        continue;
      try {
        const status = { ...ingress.status, loadBalancer: { ingress: wanted } };
        await client.ingresses.updateStatus({ ...ingress, status });
      } catch (error) {
        // A changed object comes again by the watch.
        if (isConflict(error) || isNotFound(error)) continue;
        const { message } = StatusError.from(error);
        log.warn("an ingress's status could not be written", { message });
      }
    }
  }

  /** The default one, so that an Ingress needs to name none. */
  async #makeClass(): Promise<void> {
    const { className, client } = this.#options;
    const classes = this.#informers.informer("IngressClass").lister.list();
    const isMade = classes.some(({ spec }) => spec?.controller === controllerName);
    if (className === "" || isMade) return;
    const hasDefault = classes.some(
      ({ metadata }) => metadata?.annotations?.[defaultClassAnnotation] === "true",
    );
    const annotations = hasDefault ? undefined : { [defaultClassAnnotation]: "true" };
    try {
      await client.ingressClasses.create({
        metadata: { name: className, ...(annotations && { annotations }) },
        spec: { controller: controllerName },
      });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}

function serviceOf({ metadata }: EndpointSlice): string {
  return `${metadata?.namespace}/${metadata?.labels?.[serviceLabel] ?? ""}`;
}
