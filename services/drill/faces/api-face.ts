/** The gRPC API: each key is a ConfigMap. */
import type { MethodDefinition } from "@grpc/grpc-js";
import { Channel } from "../../../ha/rpc/channel/channel.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { type ConfigMap, ConfigMapsService, NamespacesService } from "../../../proto/gen/core.ts";
import type { SeenChange } from "../evidence.ts";
import {
  type Attempt,
  attemptCall,
  connections,
  type Face,
  type FaceOptions,
  type SeenBatch,
  setUpMillisMax,
  within,
} from "./face.ts";

const pageSize = 500;

export class ApiFace implements Face {
  readonly name = "api";
  readonly #namespace: string;
  readonly #doors: readonly Channel[];

  constructor({ addresses, tls, run }: FaceOptions) {
    this.#namespace = `drill-${run}`;
    this.#doors = addresses.map((address) => new Channel({ address, tls, ...connections }));
  }

  get doors(): number {
    return this.#doors.length;
  }

  async prepare(attempt: Attempt): Promise<void> {
    const object = { apiVersion: "v1", kind: "Namespace", metadata: { name: this.#namespace } };
    const request = { object, options: {} };
    await this.#ask(NamespacesService.create, request, attempt);
  }

  async create(key: string, value: string, attempt: Attempt): Promise<number> {
    const request = { object: this.#object(key, value), options: {} };
    return revisionOf(await this.#ask(ConfigMapsService.create, request, attempt));
  }

  async write(key: string, value: string, attempt: Attempt): Promise<number> {
    const request = { object: this.#object(key, value), options: {} };
    return revisionOf(await this.#ask(ConfigMapsService.update, request, attempt));
  }

  async read(key: string, attempt: Attempt) {
    const request = { name: key, namespace: this.#namespace };
    try {
      const object = await this.#ask(ConfigMapsService.get, request, attempt);
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
      const answer = await this.#door(0).unary(
        ConfigMapsService.list,
        request,
        within(setUpMillisMax),
      );
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
    const call = { fields: [], signal };
    const stream = await this.#door(door).stream(ConfigMapsService.watch, request, call);
    for await (const { type, object } of stream.answers()) {
      if (!object) continue;
      const revision = revisionOf(object);
      if (type === "BOOKMARK") yield { revision, events: [] };
      else yield { revision, events: [changeOf(type, object, revision)] };
    }
  }

  async remove(attempt: Attempt): Promise<void> {
    const request = { name: this.#namespace };
    await this.#ask(NamespacesService.delete, request, attempt);
  }

  close(): void {
    for (const door of this.#doors) door.close();
  }

  #door(door: number): Channel {
    return this.#doors[door % this.#doors.length] as Channel;
  }

  #ask<Request, Answer>(
    method: MethodDefinition<Request, Answer>,
    request: Request,
    attempt: Attempt,
  ): Promise<Answer> {
    return this.#door(attempt.door).unary(method, request, attemptCall(attempt));
  }

  #object(name: string, value: string): ConfigMap {
    const metadata = { name, namespace: this.#namespace };
    return { apiVersion: "v1", kind: "ConfigMap", metadata, data: { value } };
  }
}

function revisionOf({ metadata }: ConfigMap): number {
  return Number(metadata?.resourceVersion ?? 0);
}

function changeOf(type: string | undefined, object: ConfigMap, revision: number): SeenChange {
  const key = object.metadata?.name ?? "";
  const value = object.data?.["value"] ?? "";
  return { revision, type: type === "DELETED" ? "delete" : "put", key, value };
}
