import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { call, serverStreamIterable } from "../../../ha/rpc/mod.ts";
import type { KVClient } from "../../../proto/gen/etcd.ts";
import type { Drill } from "../drill.ts";
import type { Scene } from "../scene.ts";
import { StoreCluster } from "../store-cluster.ts";
import { freeBasePort } from "../world/store-world.ts";
import type { MemberRef } from "../world/world.ts";

const command = join(dirname(dirname(dirname(import.meta.dirname))), "services/cli/main.ts");
const run = promisify(execFile);
const pageSize = 5_000n;

export const backupRestore: Drill = {
  name: "backup-restore",
  summary: "a backup is taken under load and restored into a new store: it holds all up to there",
  world: "masters",
  thresholds: {
    writeOutageMillis: 500,
    readOutageMillis: 500,
    watchOutageMillis: 1_000,
    failedCalls: 0,
    relists: 0,
    elections: 0,
  },
  async fault(scene) {
    const follower = await scene.victim("follower");
    scene.strike(`a backup from ${follower.name}`, async () => {});
    const before = acknowledgedCreates(scene);
    mkdirSync(scene.scratch, { recursive: true });
    const file = join(scene.scratch, "backup.db");
    writeFileSync(file, await snapshot(follower));
    const restored = await restoredEntries(file);
    const lost = before.filter(([key, value]) => restored.values.get(key) !== value);
    if (lost.length > 0) {
      const [first] = lost;
      scene.fail(
        `${lost.length} writes acknowledged before the backup are not in it: ${first?.[0]}`,
      );
    }
    const last = Math.max(0, ...scene.recorder.calls.map(({ revision = 0 }) => revision));
    if (restored.revision <= last) {
      scene.fail(`the restored store is at revision ${restored.revision}, the old one at ${last}`);
    }
    scene.fact("keys restored", restored.values.size);
  },
};

/** Name and value of what was created before now. */
function acknowledgedCreates({ recorder }: Scene): (readonly [string, string])[] {
  return recorder.calls
    .filter(({ op, code }) => op === "create" && code === "OK")
    .map(({ key, value = "" }) => [key, value]);
}

async function snapshot(member: MemberRef): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  const settings = { deadlineMillis: 30_000 };
  for await (const { blob } of serverStreamIterable(member.maintenance, "snapshot", {}, settings)) {
    if (blob !== undefined) pieces.push(blob);
  }
  return Buffer.concat(pieces);
}

/** Starts a store from the backup, and reads all of it. */
async function restoredEntries(file: string) {
  const restore = async (directory: string, initialCluster: string) => {
    const flags = ["--data-dir", directory, "--masters", initialCluster];
    await run(process.execPath, [command, "restore", file, ...flags]);
  };
  const cluster = await StoreCluster.start(await freeBasePort(), { restore });
  try {
    return await allOf((await cluster.leader()).kv);
  } finally {
    await cluster.close();
  }
}

/** By the last part of the key; a ConfigMap's value stands in its JSON. */
async function allOf(kv: KVClient) {
  const values = new Map<string, string>();
  let revision = 0n;
  let key: Buffer = Buffer.of(0);
  for (;;) {
    const request = { key, rangeEnd: Buffer.of(0), limit: pageSize };
    const page = await call(kv, "range", request, { deadlineMillis: 10_000 });
    revision = page.header?.revision ?? revision;
    for (const { key: name, value } of page.kvs ?? []) {
      values.set(String(name).split("/").at(-1) ?? "", storedValue(String(value ?? "")));
    }
    const last = page.kvs?.at(-1)?.key;
    if (!page.more || last === undefined) return { values, revision: Number(revision) };
    key = Buffer.concat([last, Buffer.of(0)]);
  }
}

function storedValue(text: string): string {
  if (!text.startsWith("{")) return text;
  const { data } = JSON.parse(text) as { readonly data?: Readonly<Record<string, string>> };
  return data?.["value"] ?? "";
}
