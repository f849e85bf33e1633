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
import { refuse, toolArguments, wholeNumber } from "../../ha/runtime/production/tool.ts";
import { connectClient } from "../client/mod.ts";
import { type DrillReport, drills } from "./drills.ts";
import { storeDrill } from "./store-drill.ts";

const storeFaults = { "store-kill": "kill", "store-stop": "stop" } as const;
const { values, choice: name } = toolArguments(
  {
    name: "drill",
    usage: "npm run drill -- [NAME] [--rounds 10] [--base-port 27443] [--json]",
    choices: [...Object.keys(drills), ...Object.keys(storeFaults)].toSorted(
      (a, b) => Number(b === "leader-kill") - Number(a === "leader-kill"),
    ),
    flags: {
      rounds: { type: "number", default: 10, help: "faults of a drill of the store, in a row" },
      "base-port": { type: "number", default: 27_443, help: "the first of the cluster's ports" },
      json: { type: "boolean", default: false, help: "the report as JSON" },
    },
  },
  process.argv.slice(2),
);
const rounds = wholeNumber("drill", "rounds", values.rounds, 1, 10_000);
const basePort = wholeNumber("drill", "base-port", values["base-port"], 1_024, 65_000);
const { json } = values;
if (name === "store-kill" || name === "store-stop") {
  const report = await storeDrill(storeFaults[name], rounds, basePort);
  console.log(JSON.stringify(report, null, 2));
  process.exit(report.passed ? 0 : 1);
}
const drill =
  (Object.hasOwn(drills, name) && drills[name]) || refuse("drill", `no drill "${name}"`);

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
