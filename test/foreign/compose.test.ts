/**
 * What `docker/compose.yaml` would start, started: the same commands with the same environment, under
 * the same users, on the same addresses in network namespaces, in file systems that are read-only
 * but for the volumes.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type ComposeService, clusterServices, readCompose } from "../docker/compose.ts";
import { type ContainerPlace, containerArguments } from "./container.ts";
import { makeLonely, makeMachines, needsNamespaces, removeMachines } from "./namespaces.ts";

const startMillis = 150_000;
const prefix = `tc${process.pid}`;
const hub = { name: `${prefix}-hub`, address: "172.30.0.1" };

interface Container {
  readonly name: string;
  readonly service: ComposeService;
  readonly child: ChildProcess;
}

class Containers {
  readonly #folder = mkdtempSync(join(tmpdir(), "trireme-compose-"));
  readonly #running: Container[] = [];
  readonly #machines: string[] = [hub.name];

  /** A namespace for each service that has a network of its own. */
  makeNetwork(services: Readonly<Record<string, ComposeService>>): void {
    const machines = Object.entries(services).flatMap(([name, { networks }]) => {
      const address = networks?.["cluster"]?.ipv4_address;
      return address === undefined ? [] : [{ name: machineOf(name), address }];
    });
    this.#machines.push(...machines.map(({ name }) => name));
    makeMachines(hub, machines);
    for (const [name, { network_mode: mode }] of Object.entries(services)) {
      if (mode !== "none") continue;
      this.#machines.push(machineOf(name));
      makeLonely(machineOf(name));
    }
  }

  start(name: string, service: ComposeService): ChildProcess {
    const log = openSync(this.#logFile(name), "a");
    const child = spawn("nsenter", containerArguments(service, this.#place(name, service)), {
      stdio: ["ignore", log, log],
    });
    this.#running.push({ name, service, child });
    return child;
  }

  /** Runs a program where a service runs, as `docker exec` does. */
  run(name: string, service: ComposeService, command: readonly string[], input = "") {
    const all = containerArguments(service, this.#place(`${name}-exec`, service, name), command);
    return spawnSync("nsenter", all, { input, encoding: "utf8", timeout: 30_000 });
  }

  log(name: string): string {
    return readFileSync(this.#logFile(name), "utf8").slice(-2_000);
  }

  ended(): string[] {
    return this.#running
      .filter(({ child: { exitCode, signalCode } }) => exitCode !== null || signalCode !== null)
      .map(({ name }) => name);
  }

  async close(): Promise<void> {
    const left = this.#running.filter(({ child }) => child.exitCode === null && !child.signalCode);
    const gone = left.map(({ child }) => once(child, "exit"));
    for (const { child } of left) child.kill("SIGTERM");
    const timer = setTimeout(() => {
      for (const { child } of left) child.kill("SIGKILL");
    }, 10_000);
    await Promise.all(gone);
    clearTimeout(timer);
    removeMachines(this.#machines);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #place(name: string, service: ComposeService, of = name): ContainerPlace {
    const shared = /^service:(.*)$/.exec(service.network_mode ?? "")?.[1];
    return {
      machine: machineOf(shared ?? of),
      root: join(this.#folder, "containers", name),
      volumes: join(this.#folder, "volumes"),
    };
  }

  #logFile(name: string): string {
    return join(this.#folder, `${name}.log`);
  }
}

function machineOf(service: string): string {
  return `${prefix}-${service}`;
}

const access = [
  ...["--server", "172.30.0.21:7443", "--certificate-authority", "/pki/ca.crt"],
  ...["--client-certificate", "/pki/admin.crt", "--client-key", "/pki/admin.key"],
];

test(
  "the compose file's containers make a cluster that runs pods",
  needsNamespaces(prefix),
  async () => {
    const { credentials, ...others } = clusterServices(readCompose());
    const balancer = others["balancer-0"];
    assert.ok(credentials && balancer);
    const containers = new Containers();
    const cli = (args: readonly string[], input?: string) => {
      const command = ["node", "services/cli/main.ts", ...args, ...access];
      return containers.run("balancer-0", balancer, command, input);
    };
    const until = async (what: string, ready: () => string | undefined) => {
      const end = Date.now() + startMillis;
      for (;;) {
        const seen = ready();
        if (seen === undefined) return;
        assert.ok(Date.now() < end, `${what}: ${seen}\n${containers.log("master-0")}`);
        const dead = containers.ended().filter((name) => name !== "credentials");
        assert.deepEqual(dead, [], dead.map((name) => containers.log(name)).join("\n"));
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
    };
    try {
      containers.makeNetwork({ credentials, ...others });
      const issuing = containers.start("credentials", credentials);
      await once(issuing, "exit");
      assert.equal(issuing.exitCode, 0, containers.log("credentials"));
      for (const [name, service] of Object.entries(others)) containers.start(name, service);
      await until("three nodes", () => {
        const { stdout, stderr } = cli(["get", "nodes"]);
        return stdout.match(/ Ready /g)?.length === 3 ? undefined : stdout + stderr;
      });
      for (const [name, service] of Object.entries(others))
        checkContainer(containers, name, service);
      const applied = cli(["apply", "-f", "-"], JSON.stringify(pod));
      assert.equal(applied.status, 0, applied.stderr);
      await until("the pod's word", () => {
        const { stdout, stderr } = cli(["logs", "p"]);
        return stdout.startsWith("user 1000, ") ? undefined : stdout + stderr;
      });
      assert.match(cli(["logs", "p"]).stdout, /^user 1000, read-only: EROFS\n/);
      // A kubelet that stops leaves its pods running.
      assert.equal(cli(["delete", "pod", "p"]).status, 0);
      await until("the pod's end", () => {
        const { status, stdout } = cli(["get", "pod", "p"]);
        return status === 0 ? stdout : undefined;
      });
    } finally {
      await containers.close();
    }
  },
);

const says = `
let why = "none";
try { require("node:fs").writeFileSync("/usr/x", ""); } catch (thrown) { why = thrown.code; }
console.log("user " + process.getuid() + ", read-only: " + why);
setInterval(() => {}, 1000);
`;

const pod = {
  ...{ apiVersion: "v1", kind: "Pod", metadata: { name: "p" } },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [{ name: "c", image: "node", command: ["node", "-e", says] }],
  },
};

/** The service's own health check, by the script that the image runs, and what it may not do. */
function checkContainer(containers: Containers, name: string, service: ComposeService): void {
  const checked = containers.run(name, service, ["node", "docker/health.mjs"]);
  assert.equal(checked.status, 0, `${name}: ${checked.stderr}${containers.log(name)}`);
  const touch = containers.run(name, service, ["sh", "-c", "id -u; touch /trireme/x /x"]);
  assert.equal(touch.stdout, "1000\n", touch.stderr);
  assert.equal(touch.stderr.match(/Read-only file system/g)?.length, 2, touch.stderr);
}
