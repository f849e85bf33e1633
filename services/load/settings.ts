/** What a load is asked to do: its flags, read and checked. */
import { accessSync, constants, existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, resolve } from "node:path";
import { refuse, toolArguments, wholeNumber } from "../../ha/runtime/production/tool.ts";
import { threadsMax } from "./engine/names.ts";
import { type Profile, profiles } from "./profiles.ts";
import type { TargetFlags } from "./targets/resolve.ts";

export type Mode =
  | { readonly kind: "clients"; readonly clients: number }
  | { readonly kind: "rate"; readonly perSecond: number }
  | { readonly kind: "ramp" };

export interface Settings {
  readonly profileName: string;
  readonly profile: Profile;
  readonly mode: Mode;
  readonly targets: readonly string[];
  readonly targetFlags: TargetFlags;
  readonly durationMillis: number;
  readonly warmupMillis: number;
  readonly rounds: number;
  readonly threads: number;
  /** Of each target. */
  readonly connections: number;
  readonly objects: number;
  readonly watchers: number;
  readonly sloMillis: number;
  /** The objective was named by the user, and is to be held. */
  readonly sloGiven: boolean;
  readonly slowMillis: number;
  readonly deadlineMillis: number;
  readonly json: string | undefined;
  readonly html: string | undefined;
  readonly gate: string | undefined;
  readonly gatePercent: number;
}

const text = (help: string) => ({ type: "string", help }) as const;
const number = (help: string) => ({ type: "number", help }) as const;

const flags = {
  target: {
    type: "string",
    repeated: true,
    help: "grpc://HOST:PORT[,…], https://HOST:PORT, etcd://HOST:PORT; grpc, rest and etcd are those of the running cluster (default grpc)",
  },
  duration: { type: "string", default: "10s", help: "of each target: 30, 30s, 5m" },
  rate: number("calls a second, whether or not earlier ones are answered"),
  clients: number("calls under way at a time, each followed by the next (default 32)"),
  ramp: { type: "boolean", default: false, help: "finds the highest rate within --slo" },
  slo: number("ms that the p99 may take (default: 1000 for single objects, 30000 for lists)"),
  slow: { type: "number", default: 200, help: "ms from which a call is shown as slow" },
  timeout: { type: "string", default: "10s", help: "a call is given up after this" },
  objects: number("objects that are made beforehand, for profiles that read"),
  watchers: number("watches held open, for profiles that watch"),
  rounds: number("in which several targets take turns (default 3)"),
  warmup: { type: "string", default: "1s", help: "of each target, not counted" },
  connections: { type: "number", default: 4, help: "to each target" },
  threads: number("of the load client (default: half of the processors, at most 4)"),
  kubeconfig: text("for https targets (default: KUBECONFIG, ~/.kube/config)"),
  ca: text("PEM file, for targets that no running cluster and no kubeconfig knows"),
  cert: text("PEM file of the client's certificate"),
  key: text("PEM file of its key"),
  "data-dir": { type: "string", default: ".trireme", help: "of the running cluster" },
  json: text("writes every number of the report to this file; - is standard output"),
  html: text("writes the report as one page"),
  gate: text("a saved --json file: a regression against it fails"),
  "gate-percent": { type: "number", default: 25, help: "by so much a figure may be worse" },
} as const;

/** Ends the process with 2 on wrong arguments, before anything is done. */
export function readSettings(args: readonly string[]): Settings {
  const names = Object.keys(profiles);
  const { values, choice } = toolArguments(
    {
      name: "load",
      usage: "npm run load -- [PROFILE] [--target URL …] [--rate N | --clients N | --ramp]",
      choices: names,
      flags,
    },
    args,
  );
  const profile = profiles[choice] ?? refuse("load", `no profile "${choice}"`);
  const whole = (flag: keyof typeof values, fallback: number, least: number, most: number) =>
    wholeNumber("load", flag, (values[flag] as number | undefined) ?? fallback, least, most);
  const path = (file: string | undefined) =>
    file === undefined ? undefined : resolve(process.env["INIT_CWD"] ?? process.cwd(), file);
  const targets = values.target.length === 0 ? ["grpc"] : values.target;
  const twice = targets.find((each, i) => targets.indexOf(each) !== i);
  if (twice !== undefined) refuse("load", `--target ${twice} is named twice`);
  const settings: Settings = {
    ...{ profileName: choice, profile, targets, mode: modeOf(values) },
    targetFlags: {
      dataDirectory: path(values["data-dir"]) ?? "",
      kubeconfig: path(values.kubeconfig),
      ...{ ca: path(values.ca), cert: path(values.cert), key: path(values.key) },
    },
    durationMillis: duration("duration", values.duration, 100, 3_600_000),
    warmupMillis: duration("warmup", values.warmup, 0, 60_000),
    rounds: whole("rounds", targets.length > 1 ? 3 : 1, 1, 100),
    threads: whole("threads", Math.min(4, Math.ceil(availableParallelism() / 2)), 1, threadsMax),
    connections: whole("connections", 4, 1, 1_024),
    objects: whole(
      "objects",
      profile.fill?.count ?? 0,
      profile.fill === undefined ? 0 : 1,
      100_000,
    ),
    watchers: whole("watchers", profile.watchers?.count ?? 0, 0, 10_000),
    sloMillis: whole("slo", profile.sloMillis, 1, 3_600_000),
    sloGiven: values.slo !== undefined,
    slowMillis: whole("slow", 200, 1, 3_600_000),
    deadlineMillis: duration("timeout", values.timeout, 100, 600_000),
    json: values.json === "-" ? "-" : path(values.json),
    ...{ html: path(values.html), gate: path(values.gate) },
    gatePercent: whole("gate-percent", 25, 0, 99),
  };
  checkUse(settings, values);
  return settings;
}

/** Past this, one call a microsecond, no client of this machine can keep up. */
const rateMax = 1_000_000;

function modeOf(values: {
  readonly rate?: number | undefined;
  readonly clients?: number | undefined;
  readonly ramp: boolean;
}): Mode {
  const given = [
    ...(values.rate === undefined ? [] : ["--rate"]),
    ...(values.clients === undefined ? [] : ["--clients"]),
    ...(values.ramp ? ["--ramp"] : []),
  ];
  if (given.length > 1) refuse("load", `${given.join(" and ")} do not go together; name one`);
  if (values.ramp) return { kind: "ramp" };
  if (values.rate !== undefined) {
    return { kind: "rate", perSecond: wholeNumber("load", "rate", values.rate, 1, rateMax) };
  }
  return {
    kind: "clients",
    clients: wholeNumber("load", "clients", values.clients ?? 32, 1, 10_000),
  };
}

function checkUse(
  { profile, profileName, json, html, gate }: Settings,
  values: { readonly objects?: number | undefined; readonly watchers?: number | undefined },
): void {
  if (values.objects !== undefined && profile.fill === undefined) {
    refuse("load", `--objects: the profile ${profileName} makes none beforehand`);
  }
  if (values.watchers !== undefined && profile.watchers === undefined) {
    refuse("load", `--watchers: the profile ${profileName} has none`);
  }
  for (const [flag, file] of [
    ["json", json],
    ["html", html],
  ] as const) {
    if (file === undefined || file === "-") continue;
    try {
      accessSync(existsSync(file) ? file : dirname(file), constants.W_OK);
    } catch (error) {
      refuse("load", `--${flag}: cannot write ${file}: ${(error as Error).message}`);
    }
  }
  if (gate !== undefined && !existsSync(gate)) {
    refuse("load", `--gate: there is no file ${gate}; --json FILE of an earlier run writes it`);
  }
}

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** `30` and `30s` are seconds, `500ms`, `5m` and `1h` what they say. */
function duration(flag: string, given: string, least: number, most: number): number {
  const [, amount, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(given) ?? [];
  const millis = Number(amount) * (units[unit] ?? 1_000);
  if (Number.isFinite(millis) && millis >= least && millis <= most) return millis;
  const range = `${least / 1_000}s..${most / 1_000}s`;
  return refuse("load", `flag --${flag}: "${given}" is no time in ${range}; write 30s or 5m`);
}
