/** Environment variables, commands and downward values of containers, with upstream's rules. */
import type {
  ConfigMap,
  Container,
  EnvVar,
  ObjectFieldSelector,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  ResourceFieldSelector,
  Secret,
  Service,
} from "../../../proto/gen/core.ts";
import type { CSIDriver, VolumeAttachment } from "../../../proto/gen/storage.ts";
import { parseQuantity } from "../../kinds/facts.ts";
import { ContainerConfigError } from "../runtime/types.ts";
import { authorityOf } from "./authority.ts";
import { type HostIPs, hostIPList, type PodIPs, podIPList } from "./pod-ips.ts";

/** Objects that containers refer to. Undefined: there is none. May throw when the API is away. */
export interface ConfigSource {
  configMap(namespace: string, name: string): Promise<ConfigMap | undefined>;
  secret(namespace: string, name: string): Promise<Secret | undefined>;
  claim(namespace: string, name: string): Promise<PersistentVolumeClaim | undefined>;
  volume(name: string): Promise<PersistentVolume | undefined>;
  csiDriver?(name: string): Promise<CSIDriver | undefined>;
  attachment?(name: string): Promise<VolumeAttachment | undefined>;
}

type EnvironmentSource = Pick<ConfigSource, "configMap" | "secret">;

export interface PodFacts extends PodIPs, HostIPs {
  readonly pod: Pod;
  readonly nodeName: string;
  /** What the node allows, where a container states no limit. */
  readonly nodeCpuMillis: number;
  readonly nodeMemoryBytes: number;
  /** What the pod's programs are told as their hostname. */
  readonly hostname: string;
}

/**
 * Replaces $(NAME) by its value, keeps an unknown reference as it is, and turns $$ into $
 * (Kubernetes API conventions, `third_party/forked/golang/expansion` behaviour).
 */
export function expand(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\$(\$|\(([^)]*)\))/g, (whole, kind: string, name: string) => {
    if (kind === "$") return "$";
    return Object.hasOwn(values, name) ? (values[name] ?? "") : whole;
  });
}

/** Value of a downward API field, e.g. metadata.labels['app']; undefined: no such field. */
export function fieldValue(facts: PodFacts, path: string): string | undefined {
  const { metadata, spec } = facts.pod;
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path);
  if (subscript !== null) {
    return metadata?.[subscript[1] as "labels" | "annotations"]?.[subscript[2] ?? ""] ?? "";
  }
  const listed = (map: Readonly<Record<string, string>> = {}) =>
    Object.keys(map)
      .sort()
      .map((key) => `${key}=${JSON.stringify(map[key])}`)
      .join("\n");
  switch (path) {
    case "metadata.name":
      return metadata?.name ?? "";
    case "metadata.namespace":
      return metadata?.namespace ?? "";
    case "metadata.uid":
      return metadata?.uid ?? "";
    case "metadata.labels":
      return listed(metadata?.labels);
    case "metadata.annotations":
      return listed(metadata?.annotations);
    case "spec.nodeName":
      return facts.nodeName;
    case "spec.serviceAccountName":
      return spec?.serviceAccountName ?? "";
    case "status.hostIP":
      return facts.hostIP;
    case "status.hostIPs":
      return hostIPList(facts).join(",");
    case "status.podIP":
      return facts.podIP;
    case "status.podIPs":
      return podIPList(facts).join(",");
    default:
      return undefined;
  }
}

/** Value of e.g. limits.cpu in units of the divisor, rounded up; undefined: no such resource. */
export function resourceValue(
  facts: PodFacts,
  container: Container | undefined,
  selector: ResourceFieldSelector,
): string | undefined {
  const [kind, ...rest] = (selector.resource ?? "").split(".");
  const name = rest.join(".");
  if ((kind !== "limits" && kind !== "requests") || name === "") return undefined;
  const resources = container?.resources;
  const stated =
    kind === "limits"
      ? resources?.limits?.[name]
      : (resources?.requests?.[name] ?? resources?.limits?.[name]);
  const fallback: Readonly<Record<string, string>> =
    kind === "limits"
      ? { cpu: `${facts.nodeCpuMillis}m`, memory: String(facts.nodeMemoryBytes) }
      : {};
  const value = parseQuantity(stated ?? fallback[name] ?? "0");
  const divisor = parseQuantity(selector.divisor ?? "1");
  if (value === undefined) return undefined;
  // A divisor of 0 means the default, 1.
  const by = divisor === undefined || divisor.nanos === 0n ? 1_000_000_000n : divisor.nanos;
  return String((value.nanos + by - 1n) / by);
}

const variableName = /^[-._a-zA-Z][-._a-zA-Z0-9]*$/;

/** Asks for each object of a namespace once: all variables see the same version of it. */
function readOnce(source: EnvironmentSource): EnvironmentSource {
  const once = <T>(read: (namespace: string, name: string) => Promise<T>) => {
    const known = new Map<string, Promise<T>>();
    return (namespace: string, name: string): Promise<T> => {
      const asked = known.get(name) ?? read(namespace, name);
      known.set(name, asked);
      return asked;
    };
  };
  return {
    configMap: once((namespace, name) => source.configMap(namespace, name)),
    secret: once((namespace, name) => source.secret(namespace, name)),
  };
}

/** The environment of one container, in upstream's order: services, envFrom, env. */
export async function containerEnvironment(
  facts: PodFacts,
  container: Container,
  services: readonly Service[],
  from: EnvironmentSource,
): Promise<Record<string, string>> {
  const source = readOnce(from);
  const namespace = facts.pod.metadata?.namespace ?? "";
  const values: Record<string, string> = {
    HOSTNAME: facts.hostname,
    POD_IP: facts.podIP,
    POD_NAME: facts.pod.metadata?.name ?? "",
    POD_NAMESPACE: namespace,
    ...serviceVariables(services, namespace, facts.pod.spec?.enableServiceLinks ?? true),
  };
  for (const each of container.envFrom ?? []) {
    const prefix = each.prefix ?? "";
    const data = await envFromData(namespace, each, source);
    for (const [key, value] of Object.entries(data)) {
      if (variableName.test(prefix + key)) values[prefix + key] = value;
    }
  }
  // A reference sees the variables before it, and those of services and envFrom.
  for (const variable of container.env ?? []) {
    const value = await variableValue(facts, container, variable, values, source);
    if (value !== undefined) values[variable.name ?? ""] = value;
  }
  return values;
}

async function envFromData(
  namespace: string,
  from: NonNullable<Container["envFrom"]>[number],
  source: EnvironmentSource,
): Promise<Readonly<Record<string, string>>> {
  if (from.configMapRef !== undefined) {
    const { name = "", optional } = from.configMapRef;
    const found = await source.configMap(namespace, name);
    if (found === undefined && !optional) throw missing("configmap", name);
    return found?.data ?? {};
  }
  if (from.secretRef !== undefined) {
    const { name = "", optional } = from.secretRef;
    const found = await source.secret(namespace, name);
    if (found === undefined && !optional) throw missing("secret", name);
    return decodeAll(found?.data ?? {});
  }
  return {};
}

async function variableValue(
  facts: PodFacts,
  container: Container,
  variable: EnvVar,
  values: Readonly<Record<string, string>>,
  source: EnvironmentSource,
): Promise<string | undefined> {
  const from = variable.valueFrom;
  if (from === undefined) return expand(variable.value ?? "", values);
  const namespace = facts.pod.metadata?.namespace ?? "";
  if (from.fieldRef !== undefined) return requiredField(facts, from.fieldRef);
  if (from.resourceFieldRef !== undefined) {
    const { containerName } = from.resourceFieldRef;
    const named = facts.pod.spec?.containers?.find((one) => one.name === containerName);
    const value = resourceValue(facts, named ?? container, from.resourceFieldRef);
    if (value !== undefined) return value;
    throw new ContainerConfigError(`unsupported resource "${from.resourceFieldRef.resource}"`);
  }
  const { configMapKeyRef, secretKeyRef } = from;
  if (configMapKeyRef !== undefined) {
    const { name = "", key = "", optional } = configMapKeyRef;
    const found = await source.configMap(namespace, name);
    if (found === undefined && !optional) throw missing("configmap", name);
    const value = found?.data?.[key];
    if (value === undefined && !optional) throw missingKey(key, "ConfigMap", namespace, name);
    return value;
  }
  if (secretKeyRef !== undefined) {
    const { name = "", key = "", optional } = secretKeyRef;
    const found = await source.secret(namespace, name);
    if (found === undefined && !optional) throw missing("secret", name);
    const value = found?.data?.[key];
    if (value === undefined && !optional) throw missingKey(key, "Secret", namespace, name);
    return value === undefined ? undefined : Buffer.from(value, "base64").toString("utf8");
  }
  throw new ContainerConfigError(`env ${variable.name}: valueFrom names no source`);
}

function requiredField(facts: PodFacts, selector: ObjectFieldSelector): string {
  const value = fieldValue(facts, selector.fieldPath ?? "");
  if (value !== undefined) return value;
  throw new ContainerConfigError(`unsupported fieldPath: ${selector.fieldPath}`);
}

function missing(kind: string, name: string): ContainerConfigError {
  return new ContainerConfigError(`${kind} "${name}" not found`);
}

function missingKey(key: string, kind: string, namespace: string, name: string) {
  return new ContainerConfigError(`couldn't find key ${key} in ${kind} ${namespace}/${name}`);
}

function decodeAll(data: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value, "base64").toString()]),
  );
}

/** {SVC}_SERVICE_HOST, {SVC}_SERVICE_PORT and the older link variables, for services with an IP. */
export function serviceVariables(
  services: readonly Service[],
  namespace: string,
  links: boolean,
): Record<string, string> {
  const values: Record<string, string> = {};
  for (const service of services) {
    const { name = "", namespace: home } = service.metadata ?? {};
    const master = home === "default" && name === "kubernetes";
    if (!master && (!links || home !== namespace)) continue;
    const ip = service.spec?.clusterIP;
    const ports = service.spec?.ports ?? [];
    const first = ports[0];
    if (ip === undefined || ip === "" || ip === "None" || first === undefined) continue;
    const upper = (text: string) => text.toUpperCase().replaceAll(/[-.]/g, "_");
    const base = upper(name);
    values[`${base}_SERVICE_HOST`] = ip;
    values[`${base}_SERVICE_PORT`] = String(first.port);
    const url = (port: typeof first) =>
      `${(port.protocol ?? "TCP").toLowerCase()}://${authorityOf(ip, port.port)}`;
    values[`${base}_PORT`] = url(first);
    for (const port of ports) {
      if (port.name) values[`${base}_SERVICE_PORT_${upper(port.name)}`] = String(port.port);
      const link = `${base}_PORT_${port.port}_${(port.protocol ?? "TCP").toUpperCase()}`;
      values[link] = url(port);
      values[`${link}_PROTO`] = (port.protocol ?? "TCP").toLowerCase();
      values[`${link}_PORT`] = String(port.port);
      values[`${link}_ADDR`] = ip;
    }
  }
  return values;
}
