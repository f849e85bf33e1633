import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { toServiceError } from "../../ha/rpc/errors.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import {
  type ConfigMap,
  type ConfigMapEvent,
  ConfigMapsService,
  type ConfigMapWrite,
} from "../../proto/gen/core.ts";
import type { GetRequest, WatchRequest } from "../../proto/gen/meta.ts";
import { connectClient, isNotFound } from "../../services/client/mod.ts";
import { quietLog } from "./quiet-log.ts";

interface Seen {
  readonly verb: string;
  readonly id: string | undefined;
  readonly attempt: string | undefined;
  readonly fence: string | undefined;
  readonly server: string;
}

interface Master {
  readonly address: string;
  readonly kill: () => void;
}

const closing: (() => void)[] = [];
after(() => {
  for (const close of closing) close();
});

/** A master with scripted failures: each call takes the next one, until none is left. */
async function master(name: string, seen: Seen[], failures: (StatusError | "safe")[] = []) {
  const server = new Server();
  const header = (metadata: Metadata, key: string) => metadata.get(key)[0]?.toString();
  const answer =
    <Request>(verb: string, make: (request: Request) => ConfigMap) =>
    (call: ServerUnaryCall<Request, ConfigMap>, callback: sendUnaryData<ConfigMap>) => {
      seen.push({
        verb,
        id: header(call.metadata, "trireme-request-id"),
        attempt: header(call.metadata, "trireme-attempt"),
        fence: header(call.metadata, "trireme-fence"),
        server: name,
      });
      const failure = failures.shift();
      if (failure === undefined) return callback(null, make(call.request));
      const trailers = new Metadata();
      if (failure === "safe") trailers.set("trireme-retry", "safe");
      const error = failure === "safe" ? new StatusError(Code.unavailable, "no leader") : failure;
      return callback(toServiceError(error, trailers));
    };
  const unexpected = (_: unknown, callback?: sendUnaryData<never>) =>
    callback?.(toServiceError(new StatusError(Code.unimplemented, "not scripted")));
  server.addService(ConfigMapsService, {
    get: answer<GetRequest>("get", (request) => ({ metadata: { name: request.name } })),
    create: answer<ConfigMapWrite>("create", (request) => ({ ...request.object })),
    watch(call: ServerWritableStream<WatchRequest, ConfigMapEvent>) {
      call.write({ type: "ADDED", object: { metadata: { name, resourceVersion: "7" } } });
    },
    list: unexpected,
    update: unexpected,
    updateStatus: unexpected,
    patch: unexpected,
    delete: unexpected,
    deleteCollection: unexpected,
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const kill = () => server.forceShutdown();
  closing.push(kill);
  return { address: `127.0.0.1:${port}`, kill };
}

function connect(...masters: Master[]) {
  const servers = masters.map(({ address }) => address);
  const client = connectClient({ servers, log: quietLog, identity: "test" });
  closing.push(() => client.close());
  return client;
}

const object = { metadata: { name: "a", namespace: "default" } };

test("a write that no master had begun is repeated under its request id, with its fence", async () => {
  const seen: Seen[] = [];
  const client = connect(await master("m0", seen, ["safe", "safe"]));
  const fence = { lease: "kube-system/x", token: "42" };
  const made = await client.configMaps.create(object, { fence });
  assert.equal(made.kind, "ConfigMap");
  assert.deepEqual(
    seen.map(({ attempt }) => attempt),
    [undefined, "2", "3"],
  );
  assert.match(seen[0]?.id ?? "", /^[0-9a-f-]{36}$/);
  assert.equal(new Set(seen.map(({ id }) => id)).size, 1);
  assert.ok(seen.every((each) => each.fence === "kube-system/x=42"));
});

test("a write that a master may have begun is not repeated; a read is", async () => {
  const seen: Seen[] = [];
  const timedOut = () => new StatusError(Code.unavailable, "request timed out");
  const client = connect(await master("m0", seen, [timedOut(), timedOut()]));
  await assert.rejects(
    client.configMaps.create(object),
    (error: StatusError) => error.code === Code.unavailable,
  );
  assert.equal(seen.length, 1);
  const read = await client.configMaps.get("a", "default");
  assert.equal(read.metadata?.name, "a");
  assert.deepEqual(
    seen.map(({ verb, id }) => [verb, id !== undefined]),
    [
      ["create", true],
      ["get", false],
      ["get", false],
    ],
  );
});

test("the Kubernetes detail of an error is restored", async () => {
  const failure = new StatusError(Code.notFound, 'configmaps "a" not found', {
    reason: "NotFound",
    kind: "configmaps",
    name: "a",
  });
  const client = connect(await master("m0", [], [failure]));
  await assert.rejects(client.configMaps.get("a", "default"), (error: StatusError) => {
    assert.ok(isNotFound(error));
    assert.equal(error.message, failure.message);
    assert.equal(error.detail?.reason, "NotFound");
    assert.equal(error.detail?.name, "a");
    return true;
  });
});

test("when a master dies, calls and watches go on at another", async () => {
  const seen: Seen[] = [];
  const masters = new Map<string, Master>();
  for (const name of ["m0", "m1", "m2"]) masters.set(name, await master(name, seen));
  const client = connect(...masters.values());
  for (let alive = 3; alive > 1; alive--) {
    const watching = client.configMaps.watch({ resourceVersion: "1" })[Symbol.asyncIterator]();
    const first = await watching.next();
    const server = first.value?.object.metadata?.name ?? "";
    masters.get(server)?.kill();
    await assert.rejects(watching.next(), (error: StatusError) => error.code === Code.unavailable);
    await client.configMaps.create(object);
    assert.notEqual(seen.at(-1)?.server, server);
  }
});

test("a call without any server fails when its time is over; an aborted one at once", async () => {
  const gone = await master("m0", []);
  gone.kill();
  const client = connect(gone);
  await assert.rejects(
    client.configMaps.get("a", "default", { timeoutMillis: 200 }),
    (error: StatusError) => error.code === Code.unavailable || error.code === Code.deadlineExceeded,
  );
  const abort = new AbortController();
  const call = client.configMaps.get("a", "default", { signal: abort.signal });
  abort.abort();
  await assert.rejects(call, (error: StatusError) => error.code === Code.cancelled);
});

test("leaving a watch ends the call; aborting it throws", async () => {
  const client = connect(await master("m0", []));
  for await (const { object: seen } of client.configMaps.watch()) {
    assert.equal(seen.metadata?.resourceVersion, "7");
    break;
  }
  const abort = new AbortController();
  await assert.rejects(
    async () => {
      for await (const _ of client.configMaps.watch({ signal: abort.signal })) abort.abort();
    },
    (error: StatusError) => error.code === Code.cancelled,
  );
});

test("a list of servers that cannot be is refused", () => {
  assert.throws(() => connectClient({ servers: [], log: quietLog }), /servers: 0 given/);
});
