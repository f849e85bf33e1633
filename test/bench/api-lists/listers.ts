/** A program of its own that lists all pods, as often and in the form that it is told. */
import { PodsService } from "../../../proto/gen/core.ts";
import { DynamicService } from "../../../proto/gen/dynamic.ts";
import { LeanClient } from "../api/lean-client.ts";
import { RestClient } from "../api/rest-client.ts";
import type { Served } from "./server.ts";

export interface ListersWork {
  readonly served: Served;
  readonly form: "rest" | "selector" | "gzip" | "table" | "grpc" | "dynamic";
  readonly lists: number;
  readonly atOnce: number;
  readonly connections: number;
}

interface Client {
  list(): Promise<void>;
  close(): void;
}

const pods = "/api/v1/pods";
const json = ["accept", "application/json"] as const;
const tableType = "application/json;as=Table;v=v1;g=meta.k8s.io";

process.on("message", (work: ListersWork) => {
  run(work).then(
    () => process.send?.({}),
    (error) => process.send?.({ failed: String(error) }),
  );
});

async function run({ served, form, lists, atOnce, connections }: ListersWork): Promise<void> {
  const clients: Client[] = [];
  const few = Math.min(connections, atOnce, lists);
  for (let index = 0; index < few; index++) clients.push(await connect(served, form));
  let left = lists;
  try {
    const loop = async (index: number) => {
      while (left-- > 0) await patient(clients[index % clients.length]);
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, lists) }, (_, index) => loop(index)));
  } finally {
    for (const client of clients) client.close();
  }
}

/** What is refused for now is asked for again, as clients do. */
async function patient(client: Client | undefined): Promise<void> {
  for (;;) {
    try {
      return await client?.list();
    } catch (thrown) {
      if (!/HTTP status 429|gRPC status 8/.test(String(thrown))) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, 1_000 + Math.random() * 1_000));
    }
  }
}

async function connect(
  { https, grpc, lister }: Served,
  form: ListersWork["form"],
): Promise<Client> {
  if (form === "grpc" || form === "dynamic") {
    const client = await LeanClient.connect(grpc, lister);
    const { path, requestSerialize } = form === "grpc" ? PodsService.list : DynamicService.list;
    const ref = { apiVersion: "v1", kind: "Pod" };
    const request = requestSerialize((form === "grpc" ? {} : { ref, list: {} }) as never);
    return { list: () => client.call(path, request), close: () => client.close() };
  }
  const gzip = form === "gzip" ? ["accept-encoding", "gzip"] : [];
  const accept = form === "table" ? ["accept", tableType] : [...json, ...gzip];
  const client = await RestClient.connect(https, lister, accept);
  const path = form === "selector" ? `${pods}?labelSelector=app%3Da` : pods;
  return { list: () => client.get(path), close: () => client.close() };
}
