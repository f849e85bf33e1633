/**
 * CSI drivers make themselves known by a socket in the kubelet's directory of plugins, on which they
 * serve `pluginregistration.Registration` (upstream `pkg/kubelet/pluginmanager`):
 *
 *     socket appears → GetInfo → NodeGetInfo of the driver → CSINode and Node → NotifyRegistrationStatus
 *     socket goes    → the driver leaves CSINode
 *
 * A socket that fails is told why, where it answers, and tried again with growing pauses.
 */
import { type FSWatcher, watch } from "node:fs";
import { mkdir, readdir, stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { type CallSettings, call, connectSocket } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Cancel, Clock, Log } from "../../../ha/runtime/types.ts";
import { NodeClient, type NodeGetInfoResponse } from "../../../proto/gen/csi.ts";
import { type PluginInfo, RegistrationClient } from "../../../proto/gen/plugin_registration.ts";
import { Backoff } from "../../client/mod.ts";
import { kubeletLimits } from "../limits.ts";
import type { CsiDrivers } from "./drivers.ts";

interface RegistryOptions {
  /** Absolute path; made if it is not there. */
  readonly directory: string;
  readonly drivers: CsiDrivers;
  readonly clock: Pick<Clock, "after">;
  readonly log: Log;
  /** Tells the API what the driver says of this node. Throws StatusError. */
  readonly added: (driver: string, info: NodeGetInfoResponse) => Promise<void>;
  readonly removed: (driver: string) => Promise<void>;
}

interface Known {
  /** Of the socket's file: another is another plugin. */
  readonly version: string;
  /** Undefined: the plugin is not registered. */
  driver: string | undefined;
  readonly backoff: Backoff;
  retry: Cancel | undefined;
}

const settings: CallSettings = { deadlineMillis: kubeletLimits.pluginCallMillis };
const pluginType = "CSIPlugin";
/** Of the API of drivers, which all 1.x of the specification speak. */
const version = /^v?1\.\d+/;

export class CsiRegistry {
  readonly #options: RegistryOptions;
  /** By the socket's path. */
  readonly #known = new Map<string, Known>();
  #watcher: FSWatcher | undefined;
  #tick: Cancel | undefined;
  #looks: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** Resolves when the drivers that are there have been asked once. */
  async start(): Promise<void> {
    await mkdir(this.#options.directory, { recursive: true, mode: 0o750 });
    this.#watcher = watch(this.#options.directory, { persistent: false }, () => void this.#look());
    await this.#look();
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    this.#tick?.();
    for (const { retry } of this.#known.values()) retry?.();
  }

  /** One after the other. Never throws. */
  #look(): Promise<void> {
    const { clock, directory, log } = this.#options;
    this.#looks = this.#looks.then(async () => {
      if (this.#closed) return;
      this.#tick?.();
      this.#tick = clock.after(kubeletLimits.pluginLookMillis, () => void this.#look());
      try {
        await this.#compare();
      } catch (error) {
        const { message } = error as Error;
        log.warn("the directory of plugins cannot be read", { directory, error: message });
      }
    });
    return this.#looks;
  }

  async #compare(): Promise<void> {
    const { directory } = this.#options;
    const names = (await readdir(directory)).filter((name) => !name.startsWith("."));
    const found = new Map<string, string>();
    for (const name of names.sort().slice(0, kubeletLimits.pluginsMax)) {
      const path = join(directory, name);
      const file = await stat(path).catch(() => undefined); // it has just gone
      if (file?.isSocket()) found.set(path, `${file.ino} ${file.ctimeMs}`);
    }
    for (const [path, known] of this.#known) {
      if (found.get(path) !== known.version) await this.#remove(path, known);
    }
    for (const [path, of] of found) {
      if (this.#known.has(path)) continue;
      const { configRetryFirstMillis, configRetryCeilingMillis } = kubeletLimits;
      const backoff = new Backoff(configRetryFirstMillis, configRetryCeilingMillis);
      const known: Known = { version: of, driver: undefined, backoff, retry: undefined };
      this.#known.set(path, known);
      await this.#register(path, known);
    }
  }

  async #register(path: string, known: Known): Promise<void> {
    const { clock, log } = this.#options;
    const client = connectSocket(RegistrationClient, path, { userAgent: "kubelet" });
    try {
      const info = await call(client, "getInfo", {}, settings);
      let problem = "";
      try {
        known.driver = await this.#add(info, path);
      } catch (error) {
        problem = StatusError.from(error).message;
      }
      const status = { pluginRegistered: problem === "", error: problem };
      await call(client, "notifyRegistrationStatus", status, settings);
      if (problem !== "") throw new Error(problem);
      log.info("a CSI driver has registered", { driver: known.driver });
    } catch (error) {
      const { message } = StatusError.from(error);
      log.warn("a plugin could not be registered; trying again", { path, error: message });
      known.retry = clock.after(known.backoff.next(), () => {
        this.#looks = this.#looks.then(async () => {
          if (!this.#closed && this.#known.get(path) === known) await this.#register(path, known);
        });
      });
    } finally {
      client.close();
    }
  }

  /** Resolves to the driver's name. Throws for what is no CSI driver, or one that does not answer. */
  async #add(info: PluginInfo, path: string): Promise<string> {
    const { type = "", name = "", endpoint = "", supportedVersions = [] } = info;
    const refuse = (problem: string) => new StatusError(Code.invalidArgument, problem);
    if (type !== pluginType) throw refuse(`plugins of type "${type}" are not taken here`);
    if (!/^[a-z0-9][-a-z0-9.]{0,62}$/i.test(name)) throw refuse(`"${name}" names no CSI driver`);
    if (!supportedVersions.some((one) => version.test(one))) {
      const told = supportedVersions.join(", ");
      throw refuse(`versions ${told}: none of the driver's is a version 1 of the specification`);
    }
    const socket = endpoint.replace(/^unix:(\/\/)?/, "") || path;
    if (!isAbsolute(socket)) throw refuse(`endpoint "${endpoint}" is no absolute path`);
    const client = connectSocket(NodeClient, socket, { userAgent: "kubelet" });
    try {
      await this.#options.added(name, await call(client, "nodeGetInfo", {}, settings));
    } finally {
      client.close();
    }
    this.#options.drivers.add(name, socket);
    return name;
  }

  async #remove(path: string, { driver, retry }: Known): Promise<void> {
    const { drivers, log, removed } = this.#options;
    retry?.();
    this.#known.delete(path);
    if (driver === undefined) return;
    // The same driver may have come back by another socket.
    if ([...this.#known.values()].some((one) => one.driver === driver)) return;
    drivers.remove(driver);
    log.info("a CSI driver has gone", { driver });
    await removed(driver).catch((error: unknown) => {
      log.warn("CSINode still names a driver that has gone", { driver, error });
    });
  }
}
