/** Leaders die under clients of the REST API: no error, no event missed, no list anew. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { answerOf, RestClient } from "../balancer/rest-fakes.ts";
import { TestCluster, until } from "./cluster.ts";

const writers = 8;
const watchers = 50;
const path = "/api/v1/namespaces/default/configmaps";

interface Event {
  readonly type: string;
  readonly object: {
    readonly metadata: { readonly name: string; readonly resourceVersion: string };
    readonly code?: number;
  };
}

/** Follows the config maps as an informer does: from its last revision whenever its watch ends. */
class Watcher {
  readonly added: string[] = [];
  readonly faults: string[] = [];
  watches = 0;
  readonly #client: RestClient;
  #revision: string;
  #stopped = false;

  constructor(client: RestClient, revision: string) {
    this.#client = client;
    this.#revision = revision;
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      this.watches++;
      try {
        await this.#watch();
      } catch (error) {
        if (!this.#stopped) this.faults.push(String(error));
      }
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#client.close();
  }

  async #watch(): Promise<void> {
    const query = `watch=true&allowWatchBookmarks=true&resourceVersion=${this.#revision}`;
    const stream = this.#client.open("GET", `${path}?${query}`);
    stream.end();
    let line = "";
    stream.on("data", (chunk: Buffer) => {
      const lines = `${line}${chunk}`.split("\n");
      line = lines.pop() ?? "";
      for (const each of lines) this.#take(JSON.parse(each) as Event);
    });
    const { status } = await answerOf(stream);
    // A watch that had just been begun anew has no answer when its connection is closed.
    if (this.#stopped) return;
    if (status !== 200) this.faults.push(`the watch was answered with ${status}`);
    if (line !== "") this.faults.push(`the watch ended within an event: ${line}`);
  }

  #take({ type, object }: Event): void {
    if (type === "ERROR") this.faults.push(`ERROR ${object.code}`);
    else this.#revision = object.metadata.resourceVersion;
    // The controllers publish a map of their own in every namespace.
    const { name } = object.metadata;
    if (type === "ADDED" && name.startsWith(prefix)) this.added.push(name);
  }
}

/** Of the names of what the writers make. */
const prefix = "kept-";

describe("REST through a balancer", { concurrency: 1 }, () => {
  const cluster = new TestCluster();
  before(() => cluster.up(["--nodes", "0"]));
  after(() => cluster.close());

  test("leaders are killed under writers and watchers, who notice nothing", async () => {
    const { ca, clientCert, clientKey, https } = cluster.endpoints;
    const pem = (file: string) => readFileSync(file, "utf8");
    const tls = { ca: pem(ca), cert: pem(clientCert), key: pem(clientKey) };
    const port = Number(https.split(":").at(-1));
    const connect = () => new RestClient(port, tls);
    const clients = Array.from({ length: writers }, connect);
    const listed = await (clients[0] as RestClient).ask("GET", path);
    assert.equal(listed.status, 200, listed.text);
    const revision = JSON.parse(listed.text).metadata.resourceVersion as string;
    const informers = Array.from({ length: watchers }, () => new Watcher(connect(), revision));
    const running = informers.map((informer) => informer.run());
    const failures: string[] = [];
    const written: string[] = [];
    let stop = false;
    after(() => {
      stop = true;
      for (const informer of informers) informer.stop();
      for (const client of clients) client.close();
    });
    const load = clients.map(async (client, at) => {
      for (let n = 0; !stop; n++) {
        const name = `${prefix}${at}-${n}`;
        const body = JSON.stringify({ metadata: { name }, data: { n: String(n) } });
        const headers = { "content-type": "application/json" };
        try {
          const { status, text } = await client.ask("POST", path, { headers, body });
          if (status === 201) written.push(name);
          else failures.push(`${name}: ${status} ${text}`);
          const got = await client.ask("GET", `${path}/${name}`);
          if (got.status !== 200) failures.push(`GET ${name}: ${got.status} ${got.text}`);
        } catch (error) {
          failures.push(`${name}: ${error}`);
        }
      }
    });
    const leader = () => cluster.endpoints.masters.find((master) => master.leader);
    for (let round = 0; round < 2; round++) {
      const before = written.length;
      await until("writes are acknowledged", async () => written.length > before + 100);
      const killed = leader();
      assert.ok(killed?.pid !== undefined);
      process.kill(killed.pid, "SIGKILL");
      await until("another one leads", async () => {
        const now = leader();
        return now !== undefined && now.name !== killed.name;
      });
      // Two of three at once would be the majority, without which nothing is answered.
      await until("the killed one is back", async () => {
        const { masters, serving } = cluster.endpoints;
        const back = masters.find(({ name }) => name === killed.name)?.pid;
        return back !== undefined && back !== killed.pid && serving.masters === masters.length;
      });
    }
    const enough = written.length + 100;
    await until("writes are acknowledged", async () => written.length > enough);
    stop = true;
    await Promise.all(load);
    const all = [...written].sort();
    const complete = () => informers.every(({ added }) => added.length >= all.length);
    await until("every watcher has every event", async () => complete());
    for (const informer of informers) informer.stop();
    await Promise.all(running);
    assert.deepEqual(failures, []);
    assert.deepEqual(
      informers.flatMap(({ faults }) => faults),
      [],
    );
    for (const { added } of informers) assert.deepEqual([...added].sort(), all);
    assert.ok(
      informers.some(({ watches }) => watches > 1),
      "some watches were begun anew",
    );
  });
});
