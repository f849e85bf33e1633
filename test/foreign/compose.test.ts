/**
 * What `docker/compose.yaml` would start, started: the same commands with the same environment, as
 * processes on addresses of the loopback network and with folders in the place of the volumes.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { test } from "node:test";
import { runProgram, trireme } from "../cli/run-program.ts";
import {
  type ComposeService,
  clusterServices,
  commandOf,
  readCompose,
  root,
} from "../docker/compose.ts";

const startMillis = 150_000;
const folder = mkdtempSync(join(tmpdir(), "trireme-compose-"));

/** A loopback address in the place of each private one; they differ as those do. */
function here(text: string, service: string, { volumes = [] }: ComposeService): string {
  const targets = new Map<string, string>();
  const mounts = volumes.map((volume) => volume.split(":"));
  for (const [name = "", path = ""] of [...mounts, [`tmp-${service}`, "/tmp"]]) {
    const target = join(folder, name);
    mkdirSync(target, { recursive: true });
    targets.set(path, target);
  }
  const paths = new RegExp(`(?<![\\w.])(?:${[...targets.keys()].join("|")})(?=[/\\s;)"]|$)`, "g");
  return text
    .replaceAll("172.30.0.", "127.30.0.")
    .replace(paths, (path) => targets.get(path) ?? path);
}

class Containers {
  readonly #running = new Map<string, ChildProcess>();

  start(name: string, service: ComposeService): ChildProcess {
    const [program = "", ...args] = commandOf(service).map((word) => here(word, name, service));
    const environment = Object.entries(service.environment ?? {});
    const log = openSync(join(folder, `${name}.log`), "a");
    const path = [dirname(process.execPath), process.env["PATH"] ?? ""].join(delimiter);
    const child = spawn(program, args, {
      cwd: root,
      env: {
        ...Object.fromEntries(environment.map(([key, value]) => [key, here(value, name, service)])),
        ...{ PATH: path, NODE_ENV: "production" },
      },
      stdio: ["ignore", log, log],
    });
    this.#running.set(name, child);
    return child;
  }

  log(name: string): string {
    return readFileSync(join(folder, `${name}.log`), "utf8").slice(-800);
  }

  ended(): string[] {
    return [...this.#running]
      .filter(([, { exitCode, signalCode }]) => exitCode !== null || signalCode !== null)
      .map(([name]) => name);
  }

  async stop(): Promise<void> {
    const left = [...this.#running.values()].filter(({ exitCode }) => exitCode === null);
    const gone = left.map((child) => once(child, "exit"));
    for (const child of left) child.kill("SIGTERM");
    const timer = setTimeout(() => {
      for (const child of left) child.kill("SIGKILL");
    }, 10_000);
    await Promise.all(gone);
    clearTimeout(timer);
  }
}

test("the commands of the compose file make a cluster whose nodes are ready", async () => {
  const services = clusterServices(readCompose());
  const containers = new Containers();
  const { credentials, ...others } = services;
  assert.ok(credentials);
  try {
    const issuing = containers.start("credentials", credentials);
    await once(issuing, "exit");
    assert.equal(issuing.exitCode, 0, containers.log("credentials"));
    for (const [name, service] of Object.entries(others)) containers.start(name, service);
    const pki = join(folder, "pki");
    const access = [
      ...["--server", "127.30.0.21:7443", "--certificate-authority", join(pki, "ca.crt")],
      ...["--client-certificate", join(pki, "admin.crt"), "--client-key", join(pki, "admin.key")],
    ];
    const until = Date.now() + startMillis;
    let nodes = "";
    while (nodes.match(/ Ready /g)?.length !== 3) {
      assert.ok(Date.now() < until, `${nodes}\n${containers.log("master-0")}`);
      const dead = containers.ended().filter((name) => name !== "credentials");
      assert.deepEqual(dead, [], dead.map((name) => containers.log(name)).join("\n"));
      const { stdout, stderr } = await trireme("get", "nodes", ...access);
      nodes = stdout + stderr;
    }
    await checkHealth(others);
  } finally {
    await containers.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Each service's own health check, by the script that the image runs. */
async function checkHealth(services: Readonly<Record<string, ComposeService>>): Promise<void> {
  const wrong = await runProgram("docker/health.mjs");
  assert.equal(wrong.code, 1);
  for (const [name, service] of Object.entries(services)) {
    const checked = here(service.environment?.["TRIREME_HEALTH"] ?? "", name, service);
    const child = spawn(process.execPath, [join(root, "docker/health.mjs")], {
      env: { TRIREME_HEALTH: checked },
      stdio: ["ignore", "ignore", "inherit"],
    });
    const [code] = (await once(child, "exit")) as [number];
    assert.equal(code, 0, `${name}: ${checked}`);
  }
}
