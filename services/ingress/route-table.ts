/**
 * Which backend a request goes to: a pure function of Ingresses, their classes and Services
 * (networking.k8s.io/v1). Of a host's rules the longest path wins, an exact one before a prefix;
 * of the same path in two Ingresses the older one's. A host by its name comes before `*.domain`,
 * which stands for one label, and that before rules without a host.
 */
import type { Service } from "../../proto/gen/core.ts";
import type {
  HTTPIngressPath,
  Ingress,
  IngressBackend,
  IngressClass,
} from "../../proto/gen/networking.ts";

export const controllerName = "trireme.dev/ingress-controller";
const classAnnotation = "kubernetes.io/ingress.class";
export const defaultClassAnnotation = "ingressclass.kubernetes.io/is-default-class";

export interface Backend {
  readonly namespace: string;
  readonly service: string;
  /** Number or name of the service's port. */
  readonly port: number | string;
}

interface PathRule {
  readonly exact: boolean;
  /** Of a prefix: without a slash at its end. */
  readonly path: string;
  readonly backend: Backend;
}

export interface RouteTable {
  readonly hosts: ReadonlyMap<string, readonly PathRule[]>;
  /** By what follows the first label. */
  readonly wildcards: ReadonlyMap<string, readonly PathRule[]>;
  readonly anyHost: readonly PathRule[];
  /** For what no rule matches. */
  readonly fallback: Backend | undefined;
}

/** Those of this controller, the oldest first. */
export function ownIngresses(
  ingresses: readonly Ingress[],
  classes: readonly IngressClass[],
): readonly Ingress[] {
  const own = classes.filter(({ spec }) => spec?.controller === controllerName);
  const names = new Set(own.map(({ metadata }) => metadata?.name ?? ""));
  const hasDefault = own.some(
    ({ metadata }) => metadata?.annotations?.[defaultClassAnnotation] === "true",
  );
  const isOwn = ({ metadata, spec }: Ingress) => {
    const name = spec?.ingressClassName ?? metadata?.annotations?.[classAnnotation];
    return name === undefined ? hasDefault : names.has(name);
  };
  return ingresses.filter(isOwn).sort((a, b) => (ageKey(a) < ageKey(b) ? -1 : 1));
}

function ageKey({ metadata }: Ingress): string {
  return `${metadata?.creationTimestamp} ${metadata?.namespace}/${metadata?.name}`;
}

/** `ingresses`: in the order of their age. */
export function routeTable(ingresses: readonly Ingress[]): RouteTable {
  const hosts = new Map<string, PathRule[]>();
  const wildcards = new Map<string, PathRule[]>();
  const anyHost: PathRule[] = [];
  let fallback: Backend | undefined;
  for (const { metadata, spec } of ingresses) {
    const namespace = metadata?.namespace ?? "";
    fallback ??= backendOf(spec?.defaultBackend, namespace);
    for (const { host = "", http } of spec?.rules ?? []) {
      const rules = (http?.paths ?? []).flatMap((path) => ruleOf(path, namespace));
      const name = host.toLowerCase();
      if (name === "") anyHost.push(...rules);
      else if (name.startsWith("*.")) listed(wildcards, name.slice(2)).push(...rules);
      else listed(hosts, name).push(...rules);
    }
  }
  for (const rules of [...hosts.values(), ...wildcards.values(), anyHost]) rules.sort(byPrecedence);
  return { hosts, wildcards, anyHost, fallback };
}

function listed(map: Map<string, PathRule[]>, key: string): PathRule[] {
  const known = map.get(key) ?? [];
  map.set(key, known);
  return known;
}

/** The sort is stable: among equals the older Ingress's stays first. */
function byPrecedence(a: PathRule, b: PathRule): number {
  return b.path.length - a.path.length || Number(b.exact) - Number(a.exact);
}

/** What is specific to an implementation is a prefix here. */
function ruleOf({ path = "", pathType, backend }: HTTPIngressPath, namespace: string): PathRule[] {
  const to = backendOf(backend, namespace);
  if (to === undefined) return [];
  const exact = pathType === "Exact";
  return [{ exact, path: exact ? path : path.replace(/\/+$/, ""), backend: to }];
}

function backendOf(backend: IngressBackend | undefined, namespace: string): Backend | undefined {
  const { name = "", port } = backend?.service ?? {};
  const to = port?.name || port?.number;
  return name === "" || to === undefined ? undefined : { namespace, service: name, port: to };
}

/** `host`: without its port; `path`: without its query. Undefined: no rule and no fallback. */
export function routeOf(table: RouteTable, host: string, path: string): Backend | undefined {
  const name = host.toLowerCase().replace(/\.$/, "");
  const rules =
    table.hosts.get(name) ??
    table.wildcards.get(name.slice(name.indexOf(".") + 1)) ??
    table.anyHost;
  return rules.find((rule) => matches(rule, path))?.backend ?? table.fallback;
}

function matches({ exact, path }: PathRule, asked: string): boolean {
  if (exact) return asked === path;
  return asked.startsWith(path) && (asked.length === path.length || asked[path.length] === "/");
}

/** The number of the port, and what it is called among endpoints; undefined: it has no such. */
export function servicePort(service: Service, port: number | string) {
  return service.spec?.ports?.find((one) =>
    typeof port === "number" ? one.port === port : one.name === port,
  );
}
