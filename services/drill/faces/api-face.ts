/** The gRPC API: each key is a ConfigMap. */
import { Metadata } from "@grpc/grpc-js";
import { call, connect, serverStreamIterable } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { type ConfigMap, ConfigMapsClient, NamespacesClient } from "../../../proto/gen/core.ts";
import type { SeenChange } from "../evidence.ts";
import { type Attempt, type Face, type FaceOptions, keepalive, type SeenBatch } from "./face.ts";

const pageSize = 500;
const setUpMillisMax = 15_000;

export class ApiFace implements Face {
  readonly name = "api";
  readonly #namespace: string;
  readonly #doors: readonly ConfigMapsClient[];
  readonly #namespaces: NamespacesClient;

  constructor({ addresses, tls, run }: FaceOptions) {
    this.#namespace = `drill-${run}`;
    const options = { tls, reconnectMinMillis: 20, reconnectMaxMillis: 200, ...keepalive };
    this.#doors = addresses.map((address) =>
      connect(ConfigMapsClient, { addresses: [address], ...options }),
    );
    this.#namespaces = connect(NamespacesClient, { addresses, ...options });
  }

  get doors(): number {
    return this.#doors.length;
  }

  async prepare(): Promise<void> {
    const object = { apiVersion: "v1", kind: "Namespace", metadata: { name: this.#namespace } };
    const settings = { deadlineMillis: setUpMillisMax };
    await call(this.#namespaces, "create", { object, options: {} }, settings);
  }

  async create(key: string, value: string, attempt: Attempt): Promise<number> {
    const request = { object: this.#object(key, value), options: {} };
    return revisionOf(await call(this.#door(attempt.door), "create", request, settings(attempt)));
  }

  async write(key: string, value: string, attempt: Attempt): Promise<number> {
    const request = { object: this.#object(key, value), options: {} };
    return revisionOf(await call(this.#door(attempt.door), "update", request, settings(attempt)));
  }

  async read(key: string, attempt: Attempt) {
    const request = { name: key, namespace: this.#namespace };
    try {
      const object = await call(this.#door(attempt.door), "get", request, settings(attempt));
      return { value: object.data?.["value"] };
    } catch (thrown) {
      if (StatusError.from(thrown).code === Code.notFound) return { value: undefined };
      throw thrown;
    }
  }

  async list() {
    const entries: Record<string, string> = {};
    let page: string | undefined;
    let revision = 0;
    do {
      const request = {
        namespace: this.#namespace,
        limit: pageSize,
        ...(page && { continue: page }),
      };
      const settings = { deadlineMillis: setUpMillisMax };
      const answer = await call(this.#door(0), "list", request, settings);
      for (const { metadata, data } of answer.items ?? []) {
        entries[metadata?.name ?? ""] = data?.["value"] ?? "";
      }
      revision = Number(answer.metadata?.resourceVersion ?? 0);
      page = answer.metadata?.continue;
    } while (page);
    return { entries, revision };
  }

  async *watch(after: number, door: number, signal: AbortSignal): AsyncGenerator<SeenBatch, void> {
    const request = {
      namespace: this.#namespace,
      resourceVersion: String(after),
      allowWatchBookmarks: true,
    };
    const events = serverStreamIterable(this.#door(door), "watch", request, { signal });
    for await (const { type, object } of events) {
      if (!object) continue;
      const revision = revisionOf(object);
      if (type === "BOOKMARK") yield { revision, events: [] };
      else yield { revision, events: [changeOf(type, object, revision)] };
    }
  }

  async remove(): Promise<void> {
    const settings = { deadlineMillis: setUpMillisMax };
    await call(this.#namespaces, "delete", { name: this.#namespace }, settings);
  }

  close(): void {
    for (const door of this.#doors) door.close();
    this.#namespaces.close();
  }

  #door(door: number): ConfigMapsClient {
    return this.#doors[door % this.#doors.length] as ConfigMapsClient;
  }

  #object(name: string, value: string): ConfigMap {
    const metadata = { name, namespace: this.#namespace };
    return { apiVersion: "v1", kind: "ConfigMap", metadata, data: { value } };
  }
}

function settings({ requestId, attempt, millis }: Attempt) {
  const metadata = new Metadata();
  metadata.set("trireme-request-id", requestId);
  if (attempt > 1) metadata.set("trireme-attempt", String(attempt));
  return { metadata, deadlineMillis: millis };
}

function revisionOf({ metadata }: ConfigMap): number {
  return Number(metadata?.resourceVersion ?? 0);
}

function changeOf(type: string | undefined, object: ConfigMap, revision: number): SeenChange {
  const key = object.metadata?.name ?? "";
  const value = object.data?.["value"] ?? "";
  return { revision, type: type === "DELETED" ? "delete" : "put", key, value };
}
