/** `trireme protos`: the tree for other languages. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { FileDescriptorSet } from "../../proto/gen/google/protobuf/descriptor.ts";
import { resources } from "../../proto/gen/schema.ts";
import { type ProtosFlags, writeTree } from "../../services/cli/commands/protos.ts";
import { contractsOf } from "./released.ts";

const folder = mkdtempSync(join(tmpdir(), "trireme-protos-"));
after(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;
const fresh = () => join(folder, `tree-${++count}`);

async function written(flags: Partial<ProtosFlags> = {}): Promise<string> {
  const out = flags.out ?? fresh();
  await writeTree({ out, ...flags });
  return out;
}

const contractsIn = (tree: string) =>
  readdirSync(tree, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".proto"))
    .sort();

/** As anybody compiles it: without options, with nothing beside the tree. */
function compiled(tree: string): Buffer {
  const compiler = dirname(createRequire(import.meta.url).resolve("protoc/package.json"));
  const set = join(folder, "set.binpb");
  const flags = ["--fatal_warnings", "--include_imports", `--descriptor_set_out=${set}`];
  execFileSync(
    process.execPath,
    [join(compiler, "protoc.cjs"), "-I.", ...flags, ...contractsIn(tree)],
    { cwd: tree, stdio: ["ignore", "ignore", "inherit"] },
  );
  return readFileSync(set);
}

test("the tree has one folder per package, compiles by itself and has the kinds' services", async () => {
  const tree = await written();
  const { file: files = [] } = FileDescriptorSet.decode(compiled(tree));
  const own = files.filter(({ name }) => !name?.startsWith("google/protobuf/"));
  assert.deepEqual(own.map(({ name }) => name).sort(), contractsIn(tree));
  for (const { name = "", package: packageName = "" } of own) {
    assert.match(packageName, /^trireme\.[a-z]+\.v[12](?:beta1)?$/);
    assert.equal(dirname(name), packageName.replaceAll(".", "/"));
  }
  const services = own.flatMap((file) =>
    (file.service ?? []).map(({ name }) => `${file.package}.${name}`),
  );
  for (const { service } of Object.values(resources)) assert.ok(services.includes(service));
});

test("what the tree says is what masters serve", async () => {
  const served = contractsOf(
    readFileSync(new URL("../../proto/gen/descriptors.binpb", import.meta.url)),
  );
  const tree = contractsOf(compiled(await written()));
  assert.ok(tree.size > 250);
  for (const [title, block] of tree) assert.deepEqual(block.lines, served.get(title)?.lines, title);
  for (const title of ["trireme.raft.v1", "trireme.store.v1", "trireme.kubelet.v1"]) {
    assert.ok(![...tree.keys()].some((each) => each.includes(title)), title);
  }
});

test("reflection gives the files of the tree under the tree's names", async () => {
  const descriptors = FileDescriptorSet.decode(
    readFileSync(new URL("../../proto/gen/descriptors.binpb", import.meta.url)),
  );
  const names = (descriptors.file ?? []).map(({ name }) => name);
  for (const name of contractsIn(await written())) assert.ok(names.includes(name), name);
  const foreign = ["google/rpc/status.proto", "etcd/api/etcdserverpb/rpc.proto"];
  for (const name of foreign) assert.ok(names.includes(name), name);
  for (const { dependency = [] } of descriptors.file ?? []) {
    for (const each of dependency) assert.ok(names.includes(each), each);
  }
});

test("nothing of other owners is in the tree", async () => {
  const tree = await written();
  for (const name of contractsIn(tree)) {
    const text = readFileSync(join(tree, name), "utf8");
    assert.doesNotMatch(text, /^package (google|grpc|etcdserverpb|mvccpb|authpb)/m);
    assert.doesNotMatch(text, /^import "(?!trireme\/|google\/protobuf\/)/m);
  }
});

test("every language's options are set; the Go prefix is the user's", async () => {
  const tree = await written({ goPrefix: "example.com/you/api" });
  const text = readFileSync(join(tree, "trireme/core/v1/core.proto"), "utf8");
  assert.match(text, /^option go_package = "example\.com\/you\/api\/trireme\/core\/v1;corev1";$/m);
  assert.match(text, /^option java_package = "io\.trireme\.core\.v1";$/m);
  assert.match(text, /^option java_multiple_files = true;$/m);
  assert.match(text, /^option csharp_namespace = "Trireme\.Core\.V1";$/m);
  const standard = readFileSync(join(await written(), "trireme/core/v1/core.proto"), "utf8");
  assert.match(standard, /^option go_package = "trireme\.io\/api\/trireme\/core\/v1;corev1";$/m);
  await assert.rejects(written({ goPrefix: "no path" }), /--go-prefix "no path": an import path/);
});

test("a folder that is not empty is refused, and with --force only the tree's files change", async () => {
  const out = await written();
  await assert.rejects(written({ out }), /--out .*tree-\d+ is not empty: choose another folder/);
  writeFileSync(join(out, "mine.txt"), "mine");
  writeFileSync(join(out, "trireme/core/v1/old.proto"), "old");
  writeFileSync(join(out, "buf.yaml"), "changed");
  await written({ out, force: true });
  assert.equal(readFileSync(join(out, "mine.txt"), "utf8"), "mine");
  assert.ok(!existsSync(join(out, "trireme/core/v1/old.proto")));
  assert.match(readFileSync(join(out, "buf.yaml"), "utf8"), /STANDARD/);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.includes("draft")),
    [],
  );
  const file = join(folder, "file");
  writeFileSync(file, "");
  await assert.rejects(written({ out: file }), /--out .*file cannot be read: ENOTDIR/);
});
