/** `trireme check`: whether a data directory or a backup file is whole. Changes nothing. */
import { stat } from "node:fs/promises";
import { type ClusterId, checkMemberDisk, clusterIdText } from "../../../ha/member/mod.ts";
import { print } from "../output.ts";
import { readBackup } from "./backup-file.ts";
import { withCopy } from "./data-directory.ts";

/** Throws with the first bad record, or the byte at which a file is damaged. */
export async function check(path: string): Promise<void> {
  const isDirectory = await stat(path).then((found) => found.isDirectory());
  if (!isDirectory) {
    const header = await readBackup(path);
    const since = header.sinceRevision
      ? `, incremental after revision ${header.sinceRevision}`
      : "";
    print(`${path}: a whole backup of ${header.member} at revision ${header.revision}${since}`);
    return;
  }
  const report = await withCopy(path, checkMemberDisk);
  print(`${path}: ${report.records} records are whole`);
  print(
    `member ${report.member} of cluster ${clusterIdText(report.cluster as ClusterId)}: ` +
      `${report.keys} keys at revision ${report.revision} (compacted ${report.compactRevision}), ` +
      `applied ${report.appliedIndex} of ${report.lastIndex} log entries, committed ${report.commitIndex}`,
  );
}
