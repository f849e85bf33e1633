/**
 * What every ContainerRuntime promises of the lives of sandboxes, images and containers, be its
 * programs real or simulated. What programs see and say is the other part (container-runtime.ts).
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type {
  Container,
  ContainerConfig,
  ContainerRuntime,
  RuntimeEvent,
} from "../../services/kubelet/runtime/types.ts";
import { eventually } from "../patience.ts";

/** `obedient` ends with 143 when it is asked to, `stubborn` when it is killed, `absent` is none. */
type ProgramKind = "obedient" | "stubborn" | "absent";

/** A runtime with means to make its programs end. */
export interface LifeWorld extends AsyncDisposable {
  /** Loaded. */
  readonly runtime: ContainerRuntime;
  /** Of every container; `other:1` can be pulled, too. */
  readonly image: string;
  program(kind: ProgramKind, name: string): Pick<ContainerConfig, "command" | "mounts">;
  /** The program is up, so that it heeds signals as its kind does. */
  whenUp(id: string): Promise<void>;
  /** The program ends by itself. */
  finish(name: string, exitCode: number): Promise<void>;
  /** So much time goes by. */
  pass(millis: number): Promise<void>;
}

const uid = "99999999-8888-7777-6666-555555555555";
const sandbox = {
  ...{ uid, namespace: "default", name: "life", hostname: "life" },
  ...{ address: "127.64.9.7", hostNetwork: false },
};

export function containerLifeContract(name: string, open: () => Promise<LifeWorld>): void {
  describe(`lives of containers: ${name}`, { concurrency: 1 }, () => {
    let world: LifeWorld;
    let runtime: ContainerRuntime;
    let attempt = 0;
    const told: { readonly event: RuntimeEvent; readonly shown: string | undefined }[] = [];
    const status = (id: string): Container => {
      const found = runtime.containers(uid).find((one) => one.id === id);
      assert.ok(found, "the container is listed");
      return found;
    };
    const exited = (id: string) =>
      eventually("its exit", () => status(id).state === "exited" && status(id));
    const create = (kind: ProgramKind, container = "c") =>
      runtime.createContainer({
        ...{ podUid: uid, name: container, attempt: attempt++, image: world.image },
        ...{ args: [], env: {}, specHash: "h" },
        ...world.program(kind, `${container}-${attempt}`),
      });
    const start = async (kind: ProgramKind) => {
      const id = await create(kind);
      await runtime.startContainer(id);
      if (kind !== "absent") await world.whenUp(id);
      return id;
    };

    before(async () => {
      world = await open();
      runtime = world.runtime;
      runtime.onEvent((event) => {
        const shown = runtime.containers().find(({ id }) => id === event.containerId)?.state;
        told.push({ event, shown });
      });
      await runtime.images.pull(world.image);
    });
    after(async () => {
      await world?.[Symbol.asyncDispose]();
    });

    test("a container needs a sandbox", async () => {
      await assert.rejects(create("obedient"), /has no sandbox/);
    });

    test("a sandbox is ready, and making it again changes nothing", async () => {
      const made = await runtime.runSandbox(sandbox);
      assert.equal(made.state, "ready");
      assert.notEqual(made.address, "");
      assert.equal((await runtime.runSandbox(sandbox)).address, made.address);
      assert.equal(runtime.sandboxes().filter((one) => one.uid === uid).length, 1);
    });

    test("created, running, exited: with code, reason and times, each told once", async () => {
      const id = await create("obedient");
      assert.equal(status(id).state, "created");
      assert.equal(status(id).podUid, uid);
      assert.equal(status(id).specHash, "h");
      await runtime.startContainer(id);
      assert.equal(status(id).state, "running");
      await world.finish(`c-${attempt}`, 3);
      const end = await exited(id);
      assert.deepEqual([end.exitCode, end.reason, end.message], [3, "Error", undefined]);
      const { createdAt, startedAt = 0, finishedAt = 0 } = end;
      assert.ok(createdAt <= startedAt && startedAt <= finishedAt);
      const about = () => told.filter(({ event }) => event.containerId === id);
      await eventually("both to be told", () => about().length >= 2);
      assert.deepEqual(
        about().map(({ event, shown }) => [event.type, shown]),
        [
          ["started", "running"],
          ["exited", "exited"],
        ],
      );
    });

    test("exit code 0 is Completed", async () => {
      const id = await start("obedient");
      await world.finish(`c-${attempt}`, 0);
      const end = await exited(id);
      assert.deepEqual([end.exitCode, end.reason], [0, "Completed"]);
    });

    test("a program that is not there is a StartError, and no throw", async () => {
      const end = await exited(await start("absent"));
      assert.deepEqual([end.exitCode, end.reason], [128, "StartError"]);
      assert.ok((end.message ?? "") !== "");
    });

    test("stop asks first, and kills behind the grace", async () => {
      const obedient = await start("obedient");
      await runtime.stopContainer(obedient, 20_000);
      assert.equal(status(obedient).exitCode, 143);
      const stubborn = await start("stubborn");
      const stopped = runtime.stopContainer(stubborn, 1_000);
      await world.pass(1_000);
      await stopped;
      assert.equal(status(stubborn).exitCode, 137);
      await runtime.stopContainer(stubborn, 0);
    });

    test("a later stop shortens the grace", async () => {
      const id = await start("stubborn");
      const slow = runtime.stopContainer(id, 600_000);
      await runtime.stopContainer(id, 0);
      await slow;
      assert.equal(status(id).exitCode, 137);
    });

    test("a container that is removed is gone, and removing it again succeeds", async () => {
      const id = await start("obedient");
      await runtime.stopContainer(id, 0);
      await runtime.removeContainer(id);
      assert.ok(runtime.containers().every((one) => one.id !== id));
      await runtime.removeContainer(id);
      await runtime.stopContainer(id, 0);
    });

    test("an image is there once it is pulled, and stays while it is used", async () => {
      assert.equal(runtime.images.status("other:1"), undefined);
      const pulled = await runtime.images.pull("other:1");
      assert.equal(runtime.images.status("other:1")?.id, pulled.id);
      assert.ok(runtime.images.list().some(({ id }) => id === pulled.id));
      await runtime.images.remove("other:1");
      await runtime.images.remove("other:1");
      assert.equal(runtime.images.status("other:1"), undefined);
      const id = await create("obedient");
      await assert.rejects(runtime.images.remove(world.image), /in use/);
      await runtime.removeContainer(id);
    });

    test("a stopped sandbox has no running containers, and can be made anew", async () => {
      const id = await start("stubborn");
      await runtime.stopSandbox(uid);
      assert.equal((await exited(id)).exitCode, 137);
      const state = () => runtime.sandbox(uid)?.state;
      assert.equal(state(), "stopped");
      await runtime.stopSandbox(uid);
      await runtime.runSandbox(sandbox);
      assert.equal(state(), "ready");
      await runtime.stopContainer(await start("obedient"), 0);
    });

    test("a sandbox that is removed leaves nothing, and removing it again succeeds", async () => {
      await start("obedient");
      await runtime.removeSandbox(uid);
      assert.deepEqual(runtime.containers(uid), []);
      assert.ok(runtime.sandboxes().every((one) => one.uid !== uid));
      assert.equal(runtime.sandbox(uid), undefined);
      await runtime.removeSandbox(uid);
      assert.deepEqual(await runtime.status(), { runtimeReady: true, networkReady: true });
    });
  });
}
