/**
 * `npm run drill -- NAME`: a fault under load, and a verdict. Starts a cluster of its own, on ports
 * of its own, in a directory that it removes.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { connectClient } from "../../services/client/mod.ts";
import { createLog } from "../runtime/production/log.ts";
import { type DrillReport, drills } from "./drills.ts";
import { storeDrill } from "./store-drill.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    "base-port": { type: "string", default: "27443" },
    json: { type: "boolean" },
    rounds: { type: "string", default: "10" },
  },
});
const name = positionals[0] ?? "leader-kill";
const storeFault = { "store-kill": "kill", "store-stop": "stop" } as const;
if (name === "store-kill" || name === "store-stop") {
  const rounds = Number(values.rounds);
  const report = await storeDrill(storeFault[name], rounds, Number(values["base-port"]));
  console.log(JSON.stringify(report, null, 2));
  process.exit(report.passed ? 0 : 1);
}
const drill = drills[name];
if (!drill) {
  console.error(
    `drill: no drill "${name}"; there are ${[...Object.keys(drills), ...Object.keys(storeFault)].join(", ")}`,
  );
  process.exit(2);
}

const run = promisify(execFile);
const command = join(dirname(dirname(import.meta.dirname)), "services/cli/main.ts");
const directory = mkdtempSync(join(tmpdir(), "trireme-drill-"));
try {
  await run(process.execPath, [
    command,
    ...[
      "up",
      "--detach",
      "--data-dir",
      directory,
      "--base-port",
      values["base-port"],
      "--nodes",
      "0",
    ],
  ]);
  const read = () => JSON.parse(readFileSync(join(directory, "endpoints.json"), "utf8"));
  const { grpc, ca, clientCert, clientKey } = read();
  const pem = (file: string) => readFileSync(file, "utf8");
  const client = connectClient({
    servers: [grpc],
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
  if (values.json) {
    console.log(JSON.stringify(report, null, 2));
    return;
  }
  console.log(`${name}: ${report.passed ? "passed" : "FAILED"}`);
  console.log(`  outage       ${report.outageMillis} ms without an acknowledged write`);
  console.log(`  acknowledged ${report.acknowledged} writes`);
  console.log(`  lost         ${report.lost}`);
  console.log(`  errors       ${JSON.stringify(report.errors)}`);
}
