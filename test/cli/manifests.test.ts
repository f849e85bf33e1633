import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readManifests } from "../../services/cli/manifests.ts";

let directory: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "trireme-manifests-"));
});

after(() => rm(directory, { recursive: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, text);
  return path;
}

const head = "apiVersion: v1\nkind: ConfigMap\n";

test("dates stay the text that was written", async () => {
  const path = await file(
    "dates.yaml",
    `${head}metadata: { name: a, labels: { released: 2024-01-02 }, annotations: { ver: "1.10" } }\n`,
  );
  const [manifest] = readManifests([path]);
  assert.deepEqual(manifest?.object.metadata, {
    name: "a",
    labels: { released: "2024-01-02" },
    annotations: { ver: "1.10" },
  });
});

test("documents of a file, items of a list and files of a folder, in order", async () => {
  const folder = await mkdtemp(join(directory, "folder-"));
  await writeFile(
    join(folder, "b.yaml"),
    `${head}metadata: {name: b}\n---\n# nothing\n---\n${head}metadata: {name: c}\n`,
  );
  const items = ["d", "e"].map((name) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name },
  }));
  const list = JSON.stringify({ apiVersion: "v1", kind: "List", items }, undefined, "\t");
  await writeFile(join(folder, "d.json"), list);
  await writeFile(join(folder, "ignored.txt"), "x");
  assert.deepEqual(
    readManifests([folder]).map(({ object }) => object.metadata?.name),
    ["b", "c", "d", "e"],
  );
});

test("errors name the file and the line", async () => {
  const twice = await file("twice.yaml", `${head}metadata: {name: a}\nkind: Secret\n`);
  assert.throws(
    () => readManifests([twice]),
    new RegExp(`${twice}: line 4 column 1: key "kind" is given twice`),
  );
  const broken = await file("broken.yaml", `${head}metadata: [\n`);
  assert.throws(() => readManifests([broken]), new RegExp(`${broken}: .*at line 4`));
  const bare = await file("bare.yaml", "- 1\n");
  assert.throws(() => readManifests([bare]), /a document is a list, must be an object/);
  const unnamed = await file("unnamed.yaml", "metadata: {name: a}\n");
  assert.throws(() => readManifests([unnamed]), /a document has no apiVersion/);
});
