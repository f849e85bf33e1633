/**
 * `npm run drill -- NAME`: a fault under load, and a verdict. Starts a cluster of its own, on ports
 * of its own, in a directory that it removes.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { createLog } from "../../ha/runtime/production/log.ts";
import { parseFlags } from "../../ha/runtime/production/process.ts";
import { connectClient } from "../client/mod.ts";
import { type DrillReport, drills } from "./drills.ts";
import { storeDrill } from "./store-drill.ts";

const storeFaults = { "store-kill": "kill", "store-stop": "stop" } as const;
const names = [...Object.keys(drills), ...Object.keys(storeFaults)].join(", ");
const usage = `usage: npm run drill -- [NAME] [--rounds 10] [--base-port 27443] [--json]
NAME, by default leader-kill, is one of ${names}
`;

const { name, rounds, basePort, json } = options(process.argv.slice(2));
if (name === "store-kill" || name === "store-stop") {
  const report = await storeDrill(storeFaults[name], rounds, basePort);
  console.log(JSON.stringify(report, null, 2));
  process.exit(report.passed ? 0 : 1);
}
const drill = (Object.hasOwn(drills, name) && drills[name]) || fail(`no drill "${name}"`);

const run = promisify(execFile);
const command = join(dirname(dirname(import.meta.dirname)), "services/cli/main.ts");
const directory = mkdtempSync(join(tmpdir(), "trireme-drill-"));
try {
  await run(process.execPath, [
    command,
    ...["up", "--detach", "--data-dir", directory, "--base-port", String(basePort), "--nodes", "0"],
  ]);
  const read = () => JSON.parse(readFileSync(join(directory, "endpoints.json"), "utf8"));
  const { grpcEndpoints, ca, clientCert, clientKey } = read();
  const pem = (file: string) => readFileSync(file, "utf8");
  const client = connectClient({
    servers: grpcEndpoints,
    tls: { ca: pem(ca), cert: pem(clientCert), key: pem(clientKey) },
    log: createLog({}, { level: "silent" }),
    identity: "drill",
  });
  const report = await drill({
    client,
    leader: () => read().masters.find((m: { leader: boolean }) => m.leader),
  });
  client.close();
  print(report);
  process.exitCode = report.passed ? 0 : 1;
} finally {
  await run(process.execPath, [command, "down", "--data-dir", directory]);
  rmSync(directory, { recursive: true, force: true });
}

function print(report: DrillReport): void {
  if (json) {
    console.log(JSON.stringify(report, null, 2));
    return;
  }
  console.log(`${name}: ${report.passed ? "passed" : "FAILED"}`);
  const { outageMillis, targetMillis } = report;
  const within = outageMillis <= targetMillis ? "within" : "OVER";
  const target = `${within} the target of ${targetMillis} ms`;
  console.log(`  outage       ${outageMillis} ms without an acknowledged write, ${target}`);
  console.log(`  slowest      ${report.slowestMillis} ms for one acknowledged write`);
  console.log(`  acknowledged ${report.acknowledged} writes`);
  console.log(`  lost         ${report.lost}`);
  console.log(`  errors       ${JSON.stringify(report.errors)}`);
}

interface Options {
  readonly name: string;
  /** Of a drill of the store alone. */
  readonly rounds: number;
  readonly basePort: number;
  readonly json: boolean;
}

function options(args: readonly string[]): Options {
  if (args.includes("--help")) {
    process.stdout.write(usage);
    process.exit(0);
  }
  const named = args[0]?.startsWith("-") === false;
  const flags = {
    rounds: { type: "number", default: 10, help: "faults, one after the other" },
    "base-port": { type: "number", default: 27_443, help: "the first of the cluster's ports" },
    json: { type: "boolean", default: false, help: "the report as JSON" },
  } as const;
  try {
    const values = parseFlags(flags, named ? args.slice(1) : args);
    const { rounds, "base-port": basePort, json } = values;
    expectWhole("rounds", rounds, 1, 10_000);
    expectWhole("base-port", basePort, 1_024, 65_000);
    return { name: named ? (args[0] as string) : "leader-kill", rounds, basePort, json };
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

function expectWhole(flag: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new Error(`flag --${flag}: ${value} is not a whole number in ${least}..${most}`);
}

function fail(message: string): never {
  process.stderr.write(`drill: ${message}\n${usage}`);
  process.exit(2);
}
