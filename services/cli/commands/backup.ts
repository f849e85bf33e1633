/** `trireme backup`: the store as of one revision, in a file. */
import { existsSync } from "node:fs";
import { connect, serverStreamIterable } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { ClusterClient } from "../../../proto/gen/cluster.ts";
import { type ConnectionFlags, tlsOf } from "../connect.ts";
import { readEndpoints } from "../endpoints.ts";
import { complain, print } from "../output.ts";
import { readBackup, writeBackup } from "./backup-file.ts";

export interface BackupFlags extends ConnectionFlags {
  readonly out: string;
  readonly incremental?: boolean;
  readonly base?: string;
  /** An existing file is replaced. */
  readonly force?: boolean;
  /** `host:port` of a master. */
  readonly member?: string;
}

export async function backup(flags: BackupFlags): Promise<void> {
  const { base } = flags;
  if ((flags.incremental === true) !== (base !== undefined)) {
    throw new Error(
      "--incremental and --base go together: what came after the revision of the base",
    );
  }
  if (base === flags.out) {
    throw new StatusError(Code.invalidArgument, `--out ${flags.out} is the file of --base`);
  }
  if (flags.force !== true && existsSync(flags.out)) throw alreadyThere(flags.out);
  const since = base === undefined ? undefined : (await readBackup(base)).revision;
  const { header, bytes } = await fromAny(membersOf(flags), flags, since);
  const from = header.sinceRevision ? `revisions ${header.sinceRevision + 1} to` : "revision";
  print(`${flags.out}: ${from} ${header.revision} of ${header.member}, ${bytes} bytes`);
}

function membersOf(flags: BackupFlags): readonly string[] {
  if (flags.member !== undefined) return [flags.member];
  if (flags.server !== undefined) return flags.server.split(",");
  // A follower has all that is acknowledged, but for what is on its way; the leader has all of it.
  const { masters } = readEndpoints(flags.dataDir);
  return [...masters].sort((a, b) => Number(b.leader) - Number(a.leader)).map(({ grpc }) => grpc);
}

function alreadyThere(file: string): StatusError {
  const text = `--out ${file}: the file exists; choose another, or replace it with --force`;
  return new StatusError(Code.alreadyExists, text);
}

async function fromAny(members: readonly string[], flags: BackupFlags, since: number | undefined) {
  const failures: string[] = [];
  for (const member of members) {
    try {
      return await fromMember(member, flags, since);
    } catch (error) {
      const { code, message } = StatusError.from(error);
      if (code === Code.outOfRange && since !== undefined) throw tooOld(flags, since, message);
      failures.push(`${member}: ${message}`);
      if (members.length > 1) complain(failures.at(-1) ?? "");
    }
  }
  throw new Error(`no member gave a backup: ${failures.join("; ")}`);
}

function tooOld({ base = "" }: BackupFlags, revision: number, why: string): StatusError {
  const text =
    `--base ${base}: what came after its revision ${revision} cannot be told any more (${why}): ` +
    "make a whole backup, without --incremental; masters keep history for as long as their " +
    "--etcd-compaction-interval says";
  return new StatusError(Code.outOfRange, text);
}

async function fromMember(member: string, flags: BackupFlags, since: number | undefined) {
  const client = connect(ClusterClient, { addresses: [member], tls: tlsOf(flags) });
  try {
    const request = { ...(since !== undefined && { sinceRevision: since }) };
    const answers = serverStreamIterable(client, "snapshot", request);
    return await writeBackup(
      flags.out,
      (async function* () {
        for await (const { data } of answers) if (data) yield data;
      })(),
    );
  } finally {
    client.close();
  }
}
