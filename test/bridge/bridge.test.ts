/** The bridge's server: who may use it, what it streams, and what it starts. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Bridge, type ClusterFacts, startBridge } from "../../services/bridge/mod.ts";
import { drills } from "../../services/drill/table.ts";
import { profiles } from "../../services/load/profiles.ts";

const folder = mkdtempSync(join(tmpdir(), "trireme-bridge-"));
let bridge: Bridge;
let port = 0;
let token = "";

before(async () => {
  bridge = await startBridge({
    port: 0,
    dataDirectory: folder,
    reports: join(folder, "reports"),
    balancers: ["127.0.0.1:1"],
    tls: {},
  });
  const [, at = "", secret = ""] =
    /^http:\/\/127\.0\.0\.1:(\d+)\/#token=(.+)$/.exec(bridge.url) ?? [];
  port = Number(at);
  token = secret;
});
after(async () => {
  await bridge.close();
  rmSync(folder, { recursive: true });
});

interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Not `fetch`, which sets host and origin itself. */
function ask(path: string, { method = "GET", headers = {}, body }: Ask = {}) {
  return new Promise<{ code: number; type: string; text: string; policy: string }>(
    (resolve, reject) => {
      const to = {
        host: "127.0.0.1",
        port,
        path,
        method,
        headers: { ...headers } as Record<string, string>,
      };
      if (body !== undefined) to.headers["content-length"] = String(body.length);
      const request = httpRequest(to, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (piece: string) => {
          text += piece;
        });
        response.on("end", () => {
          const { "content-type": type = "", "content-security-policy": policy } = response.headers;
          resolve({ code: response.statusCode ?? 0, type, text, policy: String(policy) });
        });
      });
      request.on("error", reject).end(body);
    },
  );
}

const bearer = () => ({ authorization: `Bearer ${token}` });
const json = () => ({ ...bearer(), "content-type": "application/json" });
const start = (document: unknown) =>
  ask("/runs", { method: "POST", headers: json(), body: JSON.stringify(document) });

test("the page and its modules are served as they are, and name no other host", async () => {
  const page = await ask("/");
  assert.equal(page.code, 200);
  assert.match(page.policy, /default-src 'none'; script-src 'self' 'sha256-/);
  const modules = Object.values<string>(
    JSON.parse(/importmap">(.*?)<\/script>/.exec(page.text)?.[1] ?? "{}").imports,
  );
  assert.equal(modules.length, 5);
  for (const path of [...modules, "/app.js", "/charts.js", "/style.css", "/uplot.css"]) {
    const { code, type, text } = await ask(path);
    assert.equal(code, 200, path);
    assert.match(type, /^text\/(javascript|css)/);
    assert.doesNotMatch(text, /(?:from|import\()\s*["']https?:|@import|url\(http/);
  }
  assert.doesNotMatch(page.text, new RegExp(token));
});

test("nothing is told or done without the token, for another host, or for another site", async () => {
  const code = async (path: string, how: Ask = {}) => (await ask(path, how)).code;
  const body = JSON.stringify({ kind: "load", name: "put" });
  const headers = json();
  assert.equal(await code("/live"), 401);
  assert.equal(await code("/live", { headers: { authorization: "Bearer x" } }), 401);
  assert.equal(await code("/runs", { method: "POST", body }), 401);
  assert.equal(await code("/runs/1", { method: "DELETE" }), 401);
  assert.equal(await code("/runs/1/report"), 401);
  const elsewhere = { ...headers, host: `evil.example:${port}` };
  assert.equal(await code("/", { headers: elsewhere }), 421);
  assert.equal(await code("/runs", { method: "POST", headers: elsewhere, body }), 421);
  const foreign = { ...headers, origin: "http://evil.example" };
  assert.equal(await code("/runs", { method: "POST", headers: foreign, body }), 403);
  const form = { ...bearer(), "content-type": "text/plain" };
  assert.equal(await code("/runs", { method: "POST", headers: form, body }), 415);
  assert.equal(await code("/etc/passwd", { headers }), 404);
  assert.equal(await code("/../package.json", { headers }), 404);
});

test("a run that makes no sense is refused with what is wrong", async () => {
  const refused = async (document: unknown, expected: RegExp) => {
    const { code, text } = await start(document);
    assert.equal(code, 400);
    assert.match(JSON.parse(text).error, expected);
  };
  await refused({ kind: "shell", name: "x" }, /kind must be/);
  await refused({ kind: "load", name: "--target" }, /name must be a load's name/);
  await refused({ kind: "load", name: "put; rm" }, /name must be/);
  await refused({ kind: "load", name: "put", duration: "--rate" }, /duration must be/);
  await refused(null, /kind must be/);
  const { code } = await ask("/runs", { method: "POST", headers: json(), body: "{" });
  assert.equal(code, 400);
  const long = { method: "POST", headers: json(), body: JSON.stringify("x".repeat(5_000)) };
  assert.equal((await ask("/runs", long)).code, 413);
});

/** Lines of the live stream until one of them is as wanted. */
async function live(wanted: (picture: ReturnType<typeof JSON.parse>) => boolean) {
  const stop = new AbortController();
  const response = await fetch(`http://127.0.0.1:${port}/live`, {
    headers: bearer(),
    signal: stop.signal,
  });
  let rest = "";
  for await (const piece of (response.body as ReadableStream<Uint8Array>).pipeThrough(
    new TextDecoderStream() as never,
  ) as unknown as AsyncIterable<string>) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    const found = lines.map((line) => JSON.parse(line)).find(wanted);
    if (found === undefined) continue;
    stop.abort();
    return found;
  }
  throw new Error("the stream has ended");
}

const facts = (leader: string, up: readonly boolean[]): ClusterFacts => ({
  leader,
  masters: up.map((answers, i) => ({
    ...{ name: `master-${i}`, up: answers, ready: answers, role: "follower", term: 3 },
    ...{ applied: 10, commit: 10, revision: 9 },
  })),
  nodes: [{ name: "node-0", ready: true, troubles: [] }],
  pods: [{ name: "web", namespace: "default", node: "node-0", status: "Running" }],
});

test("the stream tells at once what changes, and explains an outage", async () => {
  bridge.update(facts("master-0", [true, true, true]));
  const seen = live(({ events }) => events.some(({ kind }: { kind: string }) => kind === "outage"));
  bridge.ended("master-0", "was ended by SIGKILL");
  bridge.update(facts("master-0", [false, true, true]));
  bridge.update(facts("master-1", [false, true, true]));
  const { leader, masters, events, pods } = await seen;
  assert.equal(leader, "master-1");
  assert.equal(masters[0].up, false);
  assert.equal(pods[0].node, "node-0");
  const texts = events.map(({ text }: { text: string }) => text).join("\n");
  assert.match(texts, /master-1 leads in term 3: master-0, which led before, was ended by SIGKILL/);
  assert.match(texts, /about \d+ ms there was no leader, .*: master-0 was ended by SIGKILL/);
});

test("a run is started, shown with its output, and its end is told", async () => {
  const { code, text } = await start({ kind: "load", name: "no-such-profile" });
  assert.equal(code, 201);
  const { id } = JSON.parse(text);
  const busy = await start({ kind: "load", name: "put" });
  assert.match(busy.text, /load no-such-profile is still running/);
  const { runs } = await live(({ runs: all }) => all.at(-1)?.state === "ended");
  const { output, report, ...run } = runs.at(-1);
  assert.deepEqual(run, { id, kind: "load", name: "no-such-profile", code: 2, state: "ended" });
  assert.match(output, /"no-such-profile" is none of put/);
  assert.equal(report, false);
  assert.equal((await ask(`/runs/${id}/report`, { headers: bearer() })).code, 404);
  assert.equal((await ask(`/runs/${id}`, { method: "DELETE", headers: bearer() })).code, 404);
});

test("the page offers the profiles and drills that there are", async () => {
  const { text } = await ask("/app.js");
  const offered = (name: string) =>
    new RegExp(`const ${name} =\\s+"([^"]+)"`).exec(text)?.[1]?.split(" ");
  assert.deepEqual(offered("loads"), Object.keys(profiles));
  assert.deepEqual(
    offered("drills"),
    drills.map(({ name }) => name),
  );
});
