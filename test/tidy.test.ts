/** The house rules that a machine can check: who imports whom, and what the core may not touch. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";

const root = dirname(import.meta.dirname);

interface SourceFile {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly { readonly specifier: string; readonly typeOnly: boolean }[];
}

const files: SourceFile[] = ["proto", "ha", "services", "test"].flatMap((home) =>
  sources(join(root, home)).map((path) => {
    const text = readFileSync(path, "utf8");
    return { path: relative(root, path), text, imports: importsOf(text) };
  }),
);

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.includes(`${join(root, "proto/gen")}/`));
}

function importsOf(text: string): SourceFile["imports"] {
  const statement = /^\s*(?:import|export)\s+(type\s)?(?:[^;"']*?\sfrom\s+)?["']([^"']+)["']/gm;
  const dynamic = /\bimport\(\s*["'`]([^"'`]+)["'`]\s*\)/g;
  return [
    ...[...text.matchAll(statement)].map((m) => ({
      specifier: m[2] as string,
      typeOnly: m[1] !== undefined,
    })),
    ...[...text.matchAll(dynamic)].map((m) => ({ specifier: m[1] as string, typeOnly: false })),
  ];
}

/** `ha/raft`, `services/client`, `proto`, `test`: the home of a file. */
function homeOf(path: string): string {
  const [top, second] = path.split("/");
  return top === "ha" || top === "services" ? `${top}/${second}` : (top as string);
}

/** Which homes each home may import, besides itself (design, "The homes"). */
const allowed: Readonly<Record<string, readonly string[]>> = {
  "ha/runtime": [],
  "ha/raft": ["ha/runtime"],
  "ha/store": ["ha/runtime", "proto"],
  "ha/member": ["ha/runtime", "ha/raft", "ha/store", "proto"],
  "ha/etcd": ["ha/runtime", "ha/store", "ha/member", "ha/rpc", "proto"],
  "ha/http2": ["ha/runtime"],
  "ha/rpc": ["ha/runtime", "ha/http2", "proto"],
  "ha/balancer": ["ha/runtime", "ha/http2", "ha/rpc", "proto"],
  "ha/election": ["ha/runtime", "proto"],
  "services/kinds": ["ha/runtime", "proto"],
  "services/apiserver": [
    "ha/runtime",
    "ha/store",
    "ha/member",
    "ha/etcd",
    "ha/http2",
    "ha/rpc",
    "ha/election",
    "services/kinds",
    "proto",
  ],
  "services/client": ["ha/runtime", "ha/http2", "ha/rpc", "ha/election", "services/kinds", "proto"],
  "services/scheduler": ["ha/runtime", "ha/election", "services/client", "services/kinds", "proto"],
  "services/controllers": [
    "ha/runtime",
    "ha/election",
    "services/client",
    "services/kinds",
    "proto",
  ],
  "services/kubelet": ["ha/runtime", "ha/rpc", "services/client", "services/kinds", "proto"],
  "services/ingress": [
    "ha/runtime",
    "ha/http2",
    "services/client",
    "services/kube-proxy",
    "services/kinds",
    "proto",
  ],
  "services/dns": ["ha/runtime", "services/client", "services/kinds", "proto"],
  "services/kube-proxy": [
    "ha/runtime",
    "services/client",
    "services/dns",
    "services/kinds",
    "proto",
  ],
  proto: [],
};
/** Leaf programs import anything, and nothing imports them, but for what `leafImports` says. */
const leaves = new Set([
  "services/drill",
  "services/load",
  "services/bridge",
  "services/cli",
  "test",
  "docker",
]);
/** The load client and the reports serve the drills too; the supervisor serves the bridge. */
const leafImports: Readonly<Record<string, readonly string[]>> = {
  "services/drill": ["services/load"],
  "services/bridge": ["services/load"],
  "services/cli": ["services/bridge"],
};

test("imports run proto → ha → services, and nothing imports a leaf", () => {
  const wrong: string[] = [];
  for (const file of files) {
    const home = homeOf(file.path);
    for (const { specifier } of file.imports) {
      if (!specifier.startsWith(".")) continue;
      const target = homeOf(relative(root, join(root, dirname(file.path), specifier)));
      if (target === home) continue;
      const legal = leaves.has(home)
        ? !leaves.has(target) || home === "test" || leafImports[home]?.includes(target)
        : allowed[home]?.includes(target);
      if (!legal) wrong.push(`${file.path} imports ${specifier}`);
    }
    if (!leaves.has(home)) assert.ok(allowed[home], `${home} is not a home of the design`);
  }
  assert.deepEqual(wrong, []);
});

/** Which parts of the apiserver each part may import, besides itself and `apiserverShared`. */
const apiserverParts: Readonly<Record<string, readonly string[]>> = {
  storage: [],
  auth: ["storage"],
  admission: ["storage", "auth"],
  audit: ["auth"],
  verbs: ["storage", "auth", "admission", "audit"],
  extensions: ["storage", "verbs"],
  virtual: ["storage", "auth", "verbs"],
  nodes: ["storage", "auth", "verbs"],
  openapi: [],
  faces: ["storage", "auth", "audit", "verbs", "extensions", "nodes", "openapi"],
  pki: [],
};
/** Files beside the parts that every part may import, and that import no part. */
const apiserverShared = new Set([
  "address-range.ts",
  "errors.ts",
  "limits.ts",
  "request-info.ts",
  "semaphore.ts",
  "user-info.ts",
  "webhook-client.ts",
]);

test("inside the apiserver imports run storage → auth, admission → verbs → nodes → faces", () => {
  const home = "services/apiserver";
  const wrong: string[] = [];
  let seen = 0;
  for (const file of files) {
    if (!file.path.startsWith(`${home}/`)) continue;
    const [part = "", nested] = relative(home, file.path).split("/");
    if (nested === undefined && !apiserverShared.has(part)) continue;
    const legal = nested === undefined ? [] : apiserverParts[part];
    assert.ok(legal, `${home}/${part} is no part of the apiserver in the design`);
    for (const { specifier } of file.imports) {
      if (!specifier.startsWith(".")) continue;
      const target = relative(home, join(dirname(file.path), specifier));
      const [targetPart = "", targetNested] = target.split("/");
      if (targetPart === ".." || (targetPart === part && nested !== undefined)) continue;
      const found =
        targetNested === undefined ? apiserverShared.has(target) : legal.includes(targetPart);
      if (!found) wrong.push(`${file.path} imports ${specifier}`);
      seen++;
    }
  }
  assert.ok(seen > 50, `${seen} imports between parts`);
  assert.deepEqual(wrong, []);
});

/**
 * A kind's name is compared only in the kinds and their tests. `kind.kind` and `resource.kind` are
 * the name of a kind that is served; `outcome.kind` and the like tag unions.
 */
test("what depends on a kind stands in the kind's own file", () => {
  const comparison = /\b(?:kind|resource)\.kind\s*[!=]==?|\bswitch \((?:kind|resource)\.kind\)/;
  const wrong: string[] = [];
  for (const { path, text } of files) {
    if (/^(?:services|test)\/kinds\//.test(path)) continue;
    for (const [index, line] of text.split("\n").entries()) {
      if (comparison.test(code(line))) wrong.push(`${path}:${index + 1} ${line.trim()}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("the core learns time, chance and the world only through its runtime", () => {
  const core = files.filter((file) => /^ha\/(raft|store|member)\//.test(file.path));
  assert.ok(core.length > 10);
  const forbidden =
    /\bDate\.now\b|\bnew Date\(\)|\bset(?:Timeout|Interval|Immediate)\b|\bMath\.random\b|\bperformance\.now\b/;
  // The thread's two ends are production wiring: they may know that worker threads exist.
  const wiring = new Set([
    "ha/member/thread-start.ts",
    "ha/member/thread.ts",
    "ha/member/worker-store.ts",
  ]);
  for (const file of core) {
    if (wiring.has(file.path)) continue;
    const line = file.text.split("\n").findIndex((text) => forbidden.test(code(text)));
    assert.equal(line, -1, `${file.path}:${line + 1} reaches around the runtime`);
    const builtin = file.imports.find(({ specifier }) => specifier.startsWith("node:"));
    assert.equal(builtin, undefined, `${file.path} imports ${builtin?.specifier}`);
  }
});

test("the consensus core and apply never wait", () => {
  for (const file of files.filter(({ path }) => path.startsWith("ha/raft/"))) {
    const line = file.text
      .split("\n")
      .findIndex((text) => /\bawait\b|\bPromise\b/.test(code(text)));
    assert.equal(line, -1, `${file.path}:${line + 1} waits`);
  }
});

test("no `any`, no silenced checker, no console outside the command line", () => {
  for (const file of files) {
    const silent = file.text
      .split("\n")
      .findIndex((text) => /@ts-(ignore|nocheck|expect-error)/.test(text));
    assert.ok(
      silent === -1 || file.path === "test/tidy.test.ts",
      `${file.path}:${silent + 1} silences the checker`,
    );
    if (file.path.startsWith("test/")) continue;
    const any = file.text
      .split("\n")
      .findIndex((text) => /(:\s*any\b|\bas any\b|<any>)/.test(code(text)));
    assert.equal(any, -1, `${file.path}:${any + 1} says any`);
    if (leaves.has(homeOf(file.path))) continue;
    const print = file.text.split("\n").findIndex((text) => /\bconsole\./.test(code(text)));
    assert.equal(print, -1, `${file.path}:${print + 1} prints`);
  }
});

/** A line without its comment. */
function code(line: string): string {
  return line
    .replace(/^\s*(\/\/|\/?\*).*/, "")
    .replace(/\s\/\/ .*$/, "")
    .replace(/"(?:[^"\\]|\\.)*"/g, "");
}

test("the top level holds only what the layout names", () => {
  const fixed = ["package.json", "package-lock.json", "tsconfig.json", "README.md", "LICENSE"];
  const homes = ["proto", "ha", "services", "test", "docker", "node_modules"];
  const strays = readdirSync(root).filter(
    (name) => !name.startsWith(".") && !fixed.includes(name) && !homes.includes(name),
  );
  assert.deepEqual(strays, []);
});

/** Homes whose comments name the actor: the leader, the member, the watcher, the caller. */
const homesWithNamedActors = ["ha", "services", "test"];

test("comments name the actor", () => {
  const vague = /\b(?:nobody|no one|somebody|whoever)\b/i;
  const wrong: string[] = [];
  for (const { path, text } of files) {
    if (!homesWithNamedActors.some((home) => path.startsWith(`${home}/`))) continue;
    for (const [comment] of text.matchAll(/\/\*[\s\S]*?\*\/|\/\/.*/g)) {
      const word = vague.exec(comment)?.[0];
      if (word !== undefined) wrong.push(`${path} says "${word}" in: ${comment.slice(0, 100)}`);
    }
  }
  assert.deepEqual(wrong, []);
});
