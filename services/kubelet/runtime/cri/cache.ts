/**
 * What the kubelet knows of a runtime's sandboxes and containers. It is compared with the runtime in
 * rounds: two lists, and the status of each container whose state has changed. A container only goes
 * forward, created → running → exited, so a late answer changes nothing.
 */
import { call } from "../../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../../ha/runtime/status-error.ts";
import {
  type Container as CriContainer,
  type PodSandbox as CriSandbox,
  ContainerState as State,
} from "../../../../proto/gen/cri.ts";
import { PodIndex } from "../pod-index.ts";
import type { Container, RuntimeEvent } from "../types.ts";
import { type CriConnection, criLimits } from "./connection.ts";
import {
  addressesOf,
  type KnownContainer,
  type KnownSandbox,
  knownContainer,
  knownSandbox,
  podUidOf,
  type SandboxAddresses,
} from "./records.ts";

const order = { created: 0, running: 1, exited: 2 } as const;
const settings = { deadlineMillis: criLimits.askMillis };

export class CriCache {
  readonly #connection: CriConnection;
  readonly #tell: (event: RuntimeEvent) => void;
  /** By the runtime's id. */
  readonly #sandboxes = new PodIndex<KnownSandbox>(({ sandbox }) => sandbox.uid);
  readonly #containers = new PodIndex<KnownContainer>(({ container }) => container.podUid);
  #round: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** `tell` is called after the cache shows what it is about. */
  constructor(connection: CriConnection, tell: (event: RuntimeEvent) => void) {
    this.#connection = connection;
    this.#tell = tell;
  }

  /** A pod's own is its last one. */
  sandbox(uid: string): KnownSandbox | undefined {
    return this.sandboxesOf(uid).at(-1);
  }

  /** In the order in which they were made. */
  sandboxesOf(uid: string): readonly KnownSandbox[] {
    return this.#sandboxes.of(uid).toSorted((a, b) => a.attempt - b.attempt);
  }

  /** The last one of each pod. */
  sandboxes(): readonly KnownSandbox[] {
    const last = new Map<string, KnownSandbox>();
    for (const each of this.#sandboxes.values()) {
      const known = last.get(each.sandbox.uid);
      if (known === undefined || known.attempt < each.attempt) last.set(each.sandbox.uid, each);
    }
    return [...last.values()];
  }

  containers(podUid?: string): readonly KnownContainer[] {
    return podUid === undefined ? [...this.#containers.values()] : this.#containers.of(podUid);
  }

  container(id: string): KnownContainer | undefined {
    return this.#containers.get(id);
  }

  putSandbox(known: KnownSandbox): void {
    this.#sandboxes.set(known.id, known);
  }

  dropSandbox(id: string): void {
    this.#sandboxes.delete(id);
    for (const [container, { sandboxId }] of this.#containers) {
      if (sandboxId === id) this.#containers.delete(container);
    }
  }

  dropContainer(id: string): void {
    this.#containers.delete(id);
  }

  /** A round that begins after this call. Throws StatusError. */
  refresh(): Promise<void> {
    if (this.#round === undefined) {
      this.#round = this.#compare().finally(() => {
        this.#round = undefined;
      });
      return this.#round;
    }
    const begin = () => {
      this.#next = undefined;
      return this.refresh();
    };
    this.#next ??= this.#round.then(begin, begin);
    return this.#next;
  }

  /** One container as it is now. Throws StatusError; one that is gone is forgotten. */
  async refreshContainer(id: string): Promise<void> {
    const filter = { id };
    const { containers = [] } = await call(
      this.#connection.runtime,
      "listContainers",
      { filter },
      settings,
    );
    const item = containers.find((each) => each.id === id);
    if (item === undefined) this.#gone(id);
    else await this.#look(item);
  }

  async #compare(): Promise<void> {
    const { runtime } = this.#connection;
    const before = new Set(this.#sandboxes.keys());
    const containersBefore = new Set(this.#containers.keys());
    const [{ items = [] }, { containers = [] }] = await Promise.all([
      call(runtime, "listPodSandbox", {}, settings),
      call(runtime, "listContainers", {}, settings),
    ]);
    await this.#compareSandboxes(items, before);
    const listed = new Set(containers.map(({ id }) => id));
    // What was made since the lists were asked for is not in them.
    for (const id of containersBefore) if (!listed.has(id)) this.#gone(id);
    const changed = containers.filter((item) => this.#differs(item));
    const { statusCalls } = criLimits;
    for (let at = 0; at < changed.length; at += statusCalls) {
      await Promise.all(changed.slice(at, at + statusCalls).map((item) => this.#look(item)));
    }
  }

  async #compareSandboxes(items: readonly CriSandbox[], before: ReadonlySet<string>) {
    const listed = new Set(items.map(({ id }) => id));
    for (const id of before) if (!listed.has(id)) this.#sandboxes.delete(id);
    for (const item of items) {
      const known = this.#sandboxes.get(item.id ?? "");
      const addresses = known?.sandbox ?? (await this.#addressesOf(item));
      const now = addresses === undefined ? undefined : knownSandbox(item, addresses);
      if (now !== undefined) this.#sandboxes.set(now.id, now);
    }
  }

  /** What the network gave, empty: nothing; undefined: the sandbox has gone meanwhile. */
  async #addressesOf({ id: podSandboxId = "" }: CriSandbox): Promise<SandboxAddresses | undefined> {
    try {
      const asked = { podSandboxId };
      const { status } = await call(this.#connection.runtime, "podSandboxStatus", asked, settings);
      return addressesOf(status?.network, { address: "" });
    } catch (error) {
      if (StatusError.from(error).code === Code.notFound) return undefined;
      throw error;
    }
  }

  #differs(item: CriContainer): boolean {
    if (podUidOf(item) === undefined) return false;
    const known = this.#containers.get(item.id ?? "");
    return known === undefined || stateOf(item) > order[known.container.state];
  }

  async #look(item: CriContainer): Promise<void> {
    const { id: containerId = "" } = item;
    if (podUidOf(item) === undefined) return;
    try {
      const { runtime } = this.#connection;
      const { status } = await call(runtime, "containerStatus", { containerId }, settings);
      if (status !== undefined) this.#put(knownContainer(item, status));
    } catch (error) {
      if (StatusError.from(error).code !== Code.notFound) throw error;
      this.#gone(containerId);
    }
  }

  #put(now: KnownContainer): void {
    const { id, state } = now.container;
    const before = this.#containers.get(id)?.container.state;
    if (before !== undefined && order[state] < order[before]) return;
    this.#containers.set(id, now);
    if (before !== undefined && before !== state) this.#changed(now.container);
  }

  /** Another program has removed it; if it ran, it runs no more. */
  #gone(id: string): void {
    const known = this.#containers.get(id);
    this.#containers.delete(id);
    if (known?.container.state === "running") {
      this.#tell({ type: "exited", podUid: known.container.podUid, containerId: id });
    }
  }

  #changed({ id, podUid, state }: Container): void {
    if (state === "running") this.#tell({ type: "started", podUid, containerId: id });
    if (state === "exited") this.#tell({ type: "exited", podUid, containerId: id });
  }
}

function stateOf({ state = State.CONTAINER_CREATED }: CriContainer): number {
  if (state === State.CONTAINER_CREATED) return order.created;
  return state === State.CONTAINER_RUNNING ? order.running : order.exited;
}
