/**
 * The API of three masters under load, as `trireme up` starts them, over gRPC and over REST,
 * directly and through the balancers: what a call costs in CPU, over all masters and balancers, and
 * how many a second they answer. Calls go to the servers in turn. What the cluster costs when
 * nothing is asked is taken off. A REST API of others takes turns with it with `--against`: a
 * kubeconfig or an https:// URL; with the ids of its processes, if they run here, in CPU as well.
 *
 *   npm run bench -- api [--seconds 3] [--rounds 3] [--watchers 1000] [--pods 5000] [--faces grpc,rest]
 *     [--against KUBECONFIG|URL [--token T] [--ca FILE] [--pids N,N]]
 *   npm run bench -- api --profile [--seconds 3] [--rounds 3] [--faces grpc]
 *
 * `--faces` chooses among grpc, rest, grpc-balanced and rest-balanced. `--profile` tells instead, for
 * the first of them, in which stages of a call the CPU goes, round by round: a young process spends
 * more. Sampling itself costs a tenth or so.
 */
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundleVariable, withoutBundle } from "../../services/cli/bundle/place.ts";
import { TestCluster } from "../e2e/cluster.ts";
import { type ApiFace, grpcFace, restFace } from "./api/faces.ts";
import { LeanClient } from "./api/lean-client.ts";
import { Meter, measureApi, profileApi, type Subject } from "./api/measure.ts";
import { readProfiles, tellStages } from "./api/profile.ts";
import { RestClient } from "./api/rest-client.ts";
import { type RestTarget, targetOf } from "./api/target.ts";
import { tellApi } from "./api/tell.ts";

const namespace = "default";
const faceNames = ["grpc", "rest", "grpc-balanced", "rest-balanced"] as const;
/** A server bounds the streams of one connection: clients of one server have so many. */
const connectionsEach = 2;
const foreignWatchersEach = 100;

export async function run(args: readonly string[]): Promise<void> {
  const { profile, seconds, rounds, watchers, pods, faces, against, pids } = parse(args);
  const [first = "grpc"] = faces;
  if (profile) return runProfiled(first, { millis: seconds * 1_000, rounds });
  const cluster = new TestCluster();
  const opened: ApiFace[] = [];
  try {
    await cluster.up(["--nodes", "1"]);
    const servers = [...cluster.endpoints.masters, ...cluster.endpoints.balancers];
    const own = new Meter(servers.map(({ pid }) => pid).filter((pid) => pid !== undefined));
    const subjects: Subject[] = [];
    const add = (face: ApiFace, meter: Meter) => {
      opened.push(face);
      subjects.push({ face, meter });
    };
    for (const name of faces) add(await open(name, cluster), own);
    if (against !== undefined) add(await openForeign(against, watchers), new Meter(pids));
    const load = { millis: seconds * 1_000, rounds, watchers, pods };
    const results = await measureApi(subjects, load);
    tellApi(results);
  } finally {
    for (const face of opened) face.close();
    await cluster.close();
  }
}

async function runProfiled(
  name: (typeof faceNames)[number],
  load: { readonly millis: number; readonly rounds: number },
): Promise<void> {
  const cluster = new TestCluster();
  const directory = await mkdtemp(join(tmpdir(), "trireme-profile-"));
  const names = ["NODE_OPTIONS", bundleVariable];
  const before = names.map((name) => [name, process.env[name]] as const);
  const options = `${process.env["NODE_OPTIONS"] ?? ""} --cpu-prof --cpu-prof-dir=${directory}`;
  try {
    // The processes write what was sampled, by the names of their sources, when they end.
    Object.assign(process.env, { NODE_OPTIONS: options, [bundleVariable]: withoutBundle });
    await cluster.up(["--nodes", "0"]);
    const servers = [...cluster.endpoints.masters, ...cluster.endpoints.balancers];
    const pids = servers.map(({ pid }) => pid).filter((pid) => pid !== undefined);
    const face = await open(name, cluster);
    const windows = await profileApi(face, pids, load).finally(() => face.close());
    await cluster.close();
    tellStages(windows, readProfiles(directory, pids));
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    await cluster.close();
    await rm(directory, { recursive: true });
  }
}

async function open(name: (typeof faceNames)[number], cluster: TestCluster): Promise<ApiFace> {
  const { masters, balancers, ca, clientCert, clientKey } = cluster.endpoints;
  const pem = (file: string) => readFileSync(file, "utf8");
  const credentials = { ca: pem(ca), cert: pem(clientCert), key: pem(clientKey) };
  const servers = name.endsWith("-balanced") ? balancers : masters;
  const several = servers.flatMap(
    (server) => Array(connectionsEach).fill(server) as (typeof server)[],
  );
  if (name.startsWith("grpc")) {
    const connecting = several.map(({ grpc }) => LeanClient.connect(grpc, credentials));
    return grpcFace(name, await Promise.all(connecting), namespace);
  }
  const connecting = several.map(({ https }) => RestClient.connect(https, credentials));
  return restFace(name, await Promise.all(connecting), namespace);
}

/** As many connections as the watchers need: Go's servers take 250 streams on each (HTTP/2 default). */
async function openForeign(target: RestTarget, watchers: number): Promise<ApiFace> {
  const connections = 2 * connectionsEach + Math.ceil(watchers / foreignWatchersEach);
  const connecting = Array.from({ length: connections }, () =>
    RestClient.connect(target.endpoint, target.credentials),
  );
  return restFace("against", await Promise.all(connecting), namespace);
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string", default: "3" },
      rounds: { type: "string", default: "3" },
      watchers: { type: "string", default: "1000" },
      pods: { type: "string", default: "5000" },
      faces: { type: "string", default: faceNames.join(",") },
      against: { type: "string" },
      token: { type: "string" },
      ca: { type: "string" },
      pids: { type: "string" },
      profile: { type: "boolean", default: false },
    },
  });
  const number = (name: "seconds" | "rounds" | "watchers" | "pods", most: number): number => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw new Error(`--${name} ${values[name]}: must be a whole number in 1..${most}`);
  };
  const faces = values.faces.split(",").map((given) => {
    const known = faceNames.find((each) => each === given);
    if (known !== undefined) return known;
    throw new Error(`--faces ${values.faces}: "${given}" is not one of ${faceNames.join(", ")}`);
  });
  const { against, token, ca, pids } = values;
  return {
    profile: values.profile,
    seconds: number("seconds", 60),
    rounds: number("rounds", 20),
    watchers: number("watchers", 10_000),
    pods: number("pods", 100_000),
    faces,
    against: against === undefined ? undefined : targetOf(against, { token, ca }),
    pids: pids === undefined ? [] : pids.split(",").map(pidOf),
  };
}

function pidOf(text: string): number {
  const pid = Number(text);
  if (Number.isInteger(pid) && pid > 1) return pid;
  throw new Error(`--pids ${text}: must be the id of a process`);
}
