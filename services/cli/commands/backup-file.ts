/**
 * Backup files: the pieces of a backup (`ha/member/backup.ts`), zeros up to a multiple of 512
 * bytes, and the SHA-256 of everything before; the same that `etcdctl snapshot save` writes.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, rename, rm, stat } from "node:fs/promises";
import { BackupReader } from "../../../ha/member/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { DiskOperation } from "../../../ha/runtime/types.ts";
import type { BackupHeader } from "../../../proto/gen/raft.ts";

const paddedBytes = 512;
const digestBytes = 32;

/** Complete and checked, or not there at all. Answers its header and size. */
export async function writeBackup(
  file: string,
  pieces: AsyncIterable<Uint8Array>,
): Promise<{ readonly header: BackupHeader; readonly bytes: number }> {
  const draft = `${file}.part`;
  const handle = await open(draft, "w", 0o600);
  try {
    const digest = createHash("sha256");
    const reader = new BackupReader();
    let bytes = 0;
    const append = async (piece: Uint8Array) => {
      digest.update(piece);
      await handle.writeFile(piece);
      bytes += piece.length;
    };
    for await (const piece of pieces) {
      reader.take(piece);
      await append(piece);
    }
    const header = reader.finish();
    await append(new Uint8Array((paddedBytes - (bytes % paddedBytes)) % paddedBytes));
    await handle.writeFile(digest.digest());
    await handle.sync();
    await rename(draft, file);
    return { header, bytes: bytes + digestBytes };
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
}

/** Reads and checks the whole file; `take` is given its records on the way. */
export async function readBackup(
  file: string,
  take: (reader: BackupReader, operations: readonly DiskOperation[]) => void = () => {},
): Promise<BackupHeader> {
  const { size } = await stat(file).catch((error: Error) => {
    throw new StatusError(Code.notFound, `${file} cannot be read: ${error.message}`);
  });
  const content = size - digestBytes;
  const damaged = (what: string) => new StatusError(Code.dataLoss, `${file}: ${what}`);
  const reader = new BackupReader();
  const digest = createHash("sha256");
  let trailer = Buffer.alloc(0);
  let position = 0;
  try {
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      const own = chunk.subarray(0, Math.max(0, content - position));
      trailer = Buffer.concat([trailer, chunk.subarray(own.length)]);
      digest.update(own);
      take(reader, reader.take(own));
      position += chunk.length;
    }
    reader.finish();
  } catch (error) {
    throw damaged(StatusError.from(error).message);
  }
  if (content % paddedBytes !== 0 || !digest.digest().equals(trailer)) {
    throw damaged(`the SHA-256 at byte ${content} is not that of the bytes before`);
  }
  return reader.finish();
}
