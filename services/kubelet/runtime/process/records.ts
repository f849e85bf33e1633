/**
 * What the process runtime keeps on disk, so that pods outlive the kubelet.
 *
 *     <root>/pods/<uid>/sandbox.json       the pod
 *     <root>/pods/<uid>/work/              its private working directory and HOME
 *     <root>/containers/<id>/record.json   configuration and, once known, the end
 *     <root>/containers/<id>/run.sh        the shim (shim.ts)
 *     <root>/containers/<id>/shim, child   their /proc stat lines, written by the shim
 *     <root>/containers/<id>/exit          exit code, written by the shim; its mtime is the finish
 *     <root>/containers/<id>/log[.1-4]     output
 *     <root>/containers/<id>/stdin, stdin-end   FIFOs of its standard input (shim.ts)
 *     <root>/images.json                   names of images that were pulled (images.ts)
 *     <root>/damaged/                      records that could not be read
 */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../../../../ha/runtime/types.ts";
import type { ContainerConfig, PodSandboxConfig } from "../types.ts";
import { quarantine, readIfThere, writeFileAtomic } from "./files.ts";

export interface SandboxRecord {
  readonly version: 1;
  readonly config: PodSandboxConfig;
  readonly createdAt: number;
  stopped: boolean;
  /** Mount points made on the node for this pod; removed with it when still empty. */
  madeMountPoints: string[];
}

export interface ContainerEnd {
  readonly exitCode: number;
  readonly finishedAt: number;
  readonly reason: string;
  readonly message?: string | undefined;
}

export interface ContainerRecord {
  readonly version: 1;
  readonly id: string;
  config: ContainerConfig;
  readonly createdAt: number;
  /** Directories whose cgroup.procs the container joined. */
  cgroups: string[];
  /** Whether the shim was started: without it a missing `shim` file means "never ran". */
  launched: boolean;
  /** Tree of its image; absent: the container sees the machine's files. */
  readonly imageRoot?: string | undefined;
  end?: ContainerEnd | undefined;
}

export interface StateDir {
  readonly root: string;
  podDir(uid: string): string;
  containerDir(id: string): string;
  writeSandbox(record: SandboxRecord): void;
  writeContainer(record: ContainerRecord): void;
  load(): Promise<{ sandboxes: SandboxRecord[]; containers: ContainerRecord[] }>;
}

/** `root` is absolute. */
export function openStateDir(root: string, log: Log): StateDir {
  const podDir = (uid: string) => join(root, "pods", uid);
  const containerDir = (id: string) => join(root, "containers", id);
  const damaged = join(root, "damaged");

  async function loadAll<T>(
    kind: string,
    file: string,
    check: (value: unknown, name: string) => T,
  ): Promise<T[]> {
    const parent = join(root, kind);
    await mkdir(parent, { recursive: true, mode: 0o755 });
    const records: T[] = [];
    for (const name of (await readdir(parent)).sort()) {
      const dir = join(parent, name);
      try {
        const text = readIfThere(join(dir, file));
        if (text === undefined) throw new Error(`${file} is missing`);
        records.push(check(JSON.parse(text), name));
      } catch (error) {
        await quarantine(dir, damaged, (error as Error).message, log);
      }
    }
    return records;
  }

  return {
    root,
    podDir,
    containerDir,
    writeSandbox: (record) =>
      writeFileAtomic(join(podDir(record.config.uid), "sandbox.json"), JSON.stringify(record)),
    writeContainer: (record) =>
      writeFileAtomic(join(containerDir(record.id), "record.json"), JSON.stringify(record)),
    load: async () => ({
      sandboxes: await loadAll("pods", "sandbox.json", checkSandbox),
      containers: await loadAll("containers", "record.json", checkContainer),
    }),
  };
}

function checkSandbox(value: unknown, name: string): SandboxRecord {
  const record = value as Partial<SandboxRecord> | null;
  if (record?.version !== 1) throw new Error("not a sandbox record of version 1");
  if (record.config?.uid !== name) throw new Error(`uid is not the directory's name ${name}`);
  if (typeof record.config.address !== "string") throw new Error("address is missing");
  if (!Array.isArray(record.madeMountPoints)) throw new Error("madeMountPoints is missing");
  return record as SandboxRecord;
}

function checkContainer(value: unknown, name: string): ContainerRecord {
  const record = value as Partial<ContainerRecord> | null;
  if (record?.version !== 1) throw new Error("not a container record of version 1");
  if (record.id !== name) throw new Error(`id is not the directory's name ${name}`);
  const config = record.config;
  if (typeof config?.podUid !== "string" || typeof config.name !== "string")
    throw new Error("config.podUid or config.name is missing");
  if (!Array.isArray(config.command) || !Array.isArray(record.cgroups))
    throw new Error("config.command or cgroups is missing");
  // Records of before had the arguments behind the command.
  return { ...record, config: { ...config, args: config.args ?? [] } } as ContainerRecord;
}
