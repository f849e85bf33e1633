/** A program of its own: an apiserver on a store in memory that holds many pods. */
import { restWorld } from "../../rest/harness.ts";
import { fillPods } from "../../rest/many-pods.ts";
import type { Credentials } from "../api/lean-client.ts";

export interface Served {
  readonly pid: number;
  /** `host:port`, of REST and of gRPC. */
  readonly https: string;
  readonly grpc: string;
  readonly lister: Credentials;
  readonly reader: Credentials;
  /** Of one pod as it is stored. */
  readonly bytes: number;
}

const [count = "1000"] = process.argv.slice(2);
const world = await restWorld();
const bytes = await fillPods(world, Number(count));
const { ca } = world;
process.send?.({
  pid: process.pid,
  https: `127.0.0.1:${world.port}`,
  grpc: `127.0.0.1:${world.server.port}`,
  lister: { ca, ...(await world.user("lister", "system:masters")) },
  reader: { ca, ...(await world.user("reader", "system:masters")) },
  bytes,
} satisfies Served);
