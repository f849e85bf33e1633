/** `trireme restore`: the data of a new cluster, from backups or from one member that is left. */
import { join, resolve } from "node:path";
import {
  BackupReader,
  type ClusterPeer,
  clusterIdText,
  defaultRevisionBump,
  Restoration,
  salvage,
} from "../../../ha/member/mod.ts";
import { memberIdOf } from "../../../ha/runtime/production/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { parseInitialCluster } from "../../apiserver/mod.ts";
import { print } from "../output.ts";
import { readBackup } from "./backup-file.ts";
import { createData, withCopy } from "./data-directory.ts";

export interface RestoreFlags {
  readonly dataDir: string;
  /** `name=host:port/peerid,…` */
  readonly masters: string;
  /** Only this one's data is made. */
  readonly name?: string;
  readonly fromMember?: string;
  /** Default {@link defaultRevisionBump}. */
  readonly bumpRevision?: number;
  readonly clusterToken: string;
}

export async function restore(files: readonly string[], flags: RestoreFlags): Promise<void> {
  const members = membersOf(flags);
  if ((flags.fromMember === undefined) === (files.length === 0)) {
    throw new StatusError(
      Code.invalidArgument,
      "either backup files are wanted, the full one first, or --from-member with a data directory",
    );
  }
  const restoration = new Restoration();
  if (flags.fromMember !== undefined) await takeMember(restoration, resolve(flags.fromMember));
  else {
    for (const file of files) {
      let take: ReturnType<Restoration["begin"]> | undefined;
      await readBackup(file, (reader, operations) => {
        take ??= restoration.begin(reader);
        take(operations);
      });
    }
  }
  const { bumpRevision: revisionBump = defaultRevisionBump, clusterToken: token } = flags;
  const made = members.filter(({ name }) => flags.name === undefined || name === flags.name);
  for (const member of made) {
    const directory = join(flags.dataDir, member.name);
    const operations = restoration.operations({ members, token, revisionBump }, member);
    let cluster = "";
    await createData(
      directory,
      withResult(operations, (id) => {
        cluster = clusterIdText(id);
      }),
    );
    print(`${directory}: member ${member.name} of the new cluster ${cluster}`);
  }
  print(
    `restored ${restoration.keys - 1} keys as of revision ${restoration.revision}; the new cluster ` +
      `begins at revision ${restoration.revision + revisionBump}`,
  );
}

function membersOf(flags: RestoreFlags): ClusterPeer[] {
  const own = flags.name ?? flags.masters.split("=")[0] ?? "";
  return parseInitialCluster(flags.masters, own).map(({ name, address, identity }) => {
    if (identity === undefined) {
      const text = `member ${name} has no peer id: name=host:port/peerid is wanted of each`;
      throw new StatusError(Code.invalidArgument, text);
    }
    return { id: memberIdOf(identity), name, addresses: [address], identity };
  });
}

/** After the loss of a quorum. */
async function takeMember(restoration: Restoration, directory: string): Promise<void> {
  await withCopy(directory, async (disk) => {
    const salvaged = await salvage(disk, Date.now());
    const reader = new BackupReader();
    const take = restoration.begin(reader);
    for await (const piece of salvaged.pieces) take(reader.take(piece));
    print(`rebuilding from member ${salvaged.member}, revision ${salvaged.revision}`);
    print(
      "lost: every write that was acknowledged but had not reached this member. This member's data " +
        "do not tell whether there are any",
    );
    if (salvaged.uncertainEntries > 0) {
      print(
        `kept: ${salvaged.uncertainEntries} log entries after index ${salvaged.commitIndex}, of which ` +
          "this member does not know whether they were acknowledged",
      );
    }
  });
}

function* withResult<T, R>(generator: Generator<T, R>, done: (result: R) => void): Generator<T> {
  done(yield* generator);
}
