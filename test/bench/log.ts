/** One synced LevelDB write of batches of entries, each batch one record: CPU and time an entry. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLevelDisk } from "../../ha/runtime/production/level-disk.ts";
import { createLog } from "../../ha/runtime/production/log.ts";

export async function run(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "trireme-bench-"));
  const disk = await openLevelDisk(join(directory, "disk"), createLog({}, { level: "silent" }));
  let index = 0;
  for (const entries of [1, 8, 64, 512]) {
    const value = new Uint8Array(entries * 300);
    const rounds = 400;
    const before = process.cpuUsage();
    const startedAt = performance.now();
    for (let round = 0; round < rounds; round++) {
      const key = new Uint8Array(9);
      key[0] = 0x4c;
      new DataView(key.buffer).setUint32(5, index++);
      await new Promise<void>((resolve, reject) => {
        disk.write([{ key, value }], { sync: true }, (error) =>
          error ? reject(error) : resolve(),
        );
      });
    }
    const millis = (performance.now() - startedAt) / rounds;
    const { user, system } = process.cpuUsage(before);
    const micros = (user + system) / rounds;
    console.log(
      `log: ${String(entries).padStart(3)} entries a write: ${millis.toFixed(2)} ms, ` +
        `${micros.toFixed(0)} µs CPU a write, ${(micros / entries).toFixed(2)} an entry`,
    );
  }
  await disk.close();
  rmSync(directory, { recursive: true, force: true });
}
