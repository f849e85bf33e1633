/** `--config`: profiles as upstream's KubeSchedulerConfiguration states them. */
import { type Fields, FileFields } from "../client/mod.ts";
import { parseYaml } from "../kinds/facts.ts";
import type { Plugin } from "./framework/mod.ts";

export interface Profile {
  readonly schedulerName: string;
  readonly plugins: readonly Plugin[];
  /** Absent: a share that falls with the number of nodes. */
  readonly percentageOfNodesToScore?: number;
}

export interface Configuration {
  readonly profiles: readonly Profile[];
  readonly initialBackoffSeconds?: number;
  readonly maxBackoffSeconds?: number;
}

const apiVersion = "kubescheduler.config.k8s.io/v1";
const kind = "KubeSchedulerConfiguration";
const profilesMax = 32;

/** Where plugins can be chosen, and what of a plugin a choice there takes away. */
const points: Readonly<Record<string, readonly (keyof Plugin)[]>> = {
  preEnqueue: ["preEnqueue"],
  filter: ["preFilter", "filter", "podAdded", "podRemoved"],
  postFilter: ["postFilter", "room"],
  score: ["preScore", "score"],
  reserve: ["reserve", "unreserve"],
  permit: ["permit"],
  preBind: ["preBind"],
  bind: ["bind"],
  postBind: ["postBind"],
  multiPoint: [],
};

const file = new FileFields();

/** `known`: all plugins in the order of their calls. Throws a StatusError that names the field. */
export function parseConfiguration(text: string, known: readonly Plugin[]): Configuration {
  const [document, ...more] = parseYaml(text);
  if (more.length > 0) throw file.wrong("", `${more.length + 1} documents, not one`);
  const fields = file.object(document, "");
  if (fields["apiVersion"] !== apiVersion) throw file.wrong("apiVersion", `must be ${apiVersion}`);
  if (fields["kind"] !== kind) throw file.wrong("kind", `must be ${kind}`);
  file.only(fields, "", [
    ...["apiVersion", "kind", "profiles", "percentageOfNodesToScore"],
    ...["podInitialBackoffSeconds", "podMaxBackoffSeconds"],
  ]);
  const percentage = file.whole(fields, "", "percentageOfNodesToScore", 0, 100);
  const initial = file.whole(fields, "", "podInitialBackoffSeconds", 1, 3_600);
  const most = file.whole(fields, "", "podMaxBackoffSeconds", initial ?? 1, 3_600);
  const stated = file.list(fields["profiles"] ?? [{}], "profiles");
  if (stated.length === 0 || stated.length > profilesMax) {
    throw file.wrong("profiles", `must have 1 to ${profilesMax} profiles`);
  }
  const profiles = stated.map((each, index) => parseProfile(each, index, known, percentage));
  const names = new Set<string>();
  for (const [index, { schedulerName }] of profiles.entries()) {
    const path = `profiles[${index}].schedulerName`;
    if (names.has(schedulerName)) throw file.wrong(path, `"${schedulerName}" is there twice`);
    names.add(schedulerName);
  }
  return {
    profiles,
    ...(initial !== undefined && { initialBackoffSeconds: initial }),
    ...(most !== undefined && { maxBackoffSeconds: most }),
  };
}

function parseProfile(
  value: unknown,
  index: number,
  known: readonly Plugin[],
  percentageOfAll: number | undefined,
): Profile {
  const path = `profiles[${index}]`;
  const fields = file.object(value, path);
  file.only(fields, path, ["schedulerName", "percentageOfNodesToScore", "plugins"]);
  const name = fields["schedulerName"] ?? "default-scheduler";
  if (typeof name !== "string" || name === "") {
    throw file.wrong(`${path}.schedulerName`, "must be a name");
  }
  const percentage =
    file.whole(fields, path, "percentageOfNodesToScore", 0, 100) ?? percentageOfAll;
  return {
    schedulerName: name,
    plugins: choose(
      file.object(fields["plugins"] ?? {}, `${path}.plugins`),
      `${path}.plugins`,
      known,
    ),
    // Zero is upstream's word for the share that falls with the number of nodes.
    ...(percentage && { percentageOfNodesToScore: percentage }),
  };
}

interface Choice {
  readonly name: string;
  readonly weight: number | undefined;
}

function choose(stated: Fields, path: string, known: readonly Plugin[]): readonly Plugin[] {
  file.only(stated, path, Object.keys(points));
  let plugins = known;
  for (const [point, parts] of Object.entries(points)) {
    const at = `${path}.${point}`;
    const fields = file.object(stated[point] ?? {}, at);
    file.only(fields, at, ["enabled", "disabled"]);
    const disabled = choices(fields["disabled"], `${at}.disabled`, known);
    const enabled = choices(fields["enabled"], `${at}.enabled`, known);
    const weights = new Map(enabled.map(({ name, weight }) => [name, weight]));
    const off = new Set(disabled.map(({ name }) => name));
    const isOff = ({ name }: Plugin) => !weights.has(name) && (off.has(name) || off.has("*"));
    plugins =
      parts.length === 0
        ? plugins.filter((plugin) => !isOff(plugin) || plugin.queueSort !== undefined)
        : plugins.map((plugin) => (isOff(plugin) ? without(plugin, parts) : plugin));
    plugins = plugins.map((plugin) => weighed(plugin, weights.get(plugin.name)));
  }
  return plugins;
}

function without(plugin: Plugin, parts: readonly (keyof Plugin)[]): Plugin {
  const entries = Object.entries(plugin).filter(([key]) => !parts.includes(key as keyof Plugin));
  return Object.fromEntries(entries) as unknown as Plugin;
}

function weighed(plugin: Plugin, weight: number | undefined): Plugin {
  if (weight === undefined || plugin.score === undefined) return plugin;
  return { ...plugin, score: { ...plugin.score, weight } };
}

function choices(value: unknown, path: string, known: readonly Plugin[]): readonly Choice[] {
  return file.list(value ?? [], path).map((each, index) => {
    const at = `${path}[${index}]`;
    const fields = file.object(each, at);
    file.only(fields, at, ["name", "weight"]);
    const { name } = fields;
    const names = known.map((plugin) => plugin.name);
    if (typeof name !== "string" || !(names.includes(name) || name === "*")) {
      throw file.wrong(`${at}.name`, `${JSON.stringify(name)} is not one of ${names.join(", ")}`);
    }
    return { name, weight: file.whole(fields, at, "weight", 1, 100) };
  });
}
