/**
 * Builds that are broken on purpose, held in drills on real processes: which drill shows what is
 * wrong, and in which words. Those of the simulator that a drill can provoke are taken from there.
 */
import { Proposals } from "../../ha/member/proposals.ts";
import { FaultyDisk } from "../../ha/runtime/faults/faulty-disk.ts";
import type {
  Disk,
  DiskEntry,
  DiskError,
  DiskOperation,
  DiskRange,
} from "../../ha/runtime/types.ts";
import { leaderChanged } from "../../ha/store/errors.ts";
import { History } from "../../ha/store/history.ts";
import { breakBuild } from "../sim/broken.ts";

export interface BrokenDrill {
  readonly build: string;
  readonly drill: string;
  readonly flags?: readonly string[];
  /** What the verdict must say. */
  readonly by: RegExp;
  /** Breaks the product in this thread; absent: as the simulator does. */
  readonly apply?: () => void;
}

export const brokenDrills: readonly BrokenDrill[] = [
  {
    build: "acknowledge before fsync",
    drill: "full-stop",
    by: /acknowledged writes lost|reordered|not linearizable/,
    apply: acknowledgeBeforeFsync,
  },
  {
    build: "serve reads without a quorum",
    drill: "leader-partition",
    by: /^not linearizable: r-\d/,
  },
  {
    build: "skip the pre-vote check",
    drill: "minority",
    by: /^elections a round: \d+, above 0$/,
  },
  {
    build: "watch resumes one revision late",
    drill: "leader-kill",
    by: /watch (resumable|reliable|bookmarkable)/,
  },
  {
    build: "drop the session table in a restart",
    drill: "full-stop",
    flags: ["--clients", "40", "--rate", "400"],
    by: /writes doubled|not linearizable|the members do not agree/,
  },
  {
    build: "apply wrongly on one member",
    drill: "follower-kill",
    by: /the members differ|at the end: /,
    apply: applyWronglyOnOneMember,
  },
];

/** Not broken: every member refuses its first commands, as one that has just lost its leader does. */
export const hesitantBuild = "refuse the first commands";
const refusedFirst = 3;

export function breakForDrill(name: string): void {
  const known = brokenDrills.find(({ build }) => build === name);
  if (name === hesitantBuild) refuseFirstCommands();
  else if (known?.apply) known.apply();
  else breakBuild(name);
}

/** What a page cache would lose with the power, this one loses with the process. */
const writtenLateMillis = 300;

interface Late {
  readonly operations: readonly DiskOperation[];
}

/** A write is told durable at once, and reaches the disk later. */
function acknowledgeBeforeFsync(): void {
  const disks = new WeakMap<object, LateDisk>();
  const late = (faulty: FaultyDisk): LateDisk => {
    let disk = disks.get(faulty);
    if (disk === undefined) {
      disk = new LateDisk();
      disks.set(faulty, disk);
    }
    return disk;
  };
  const { write, get, scan, close } = FaultyDisk.prototype;
  FaultyDisk.prototype.write = function unsynced(operations, options, done) {
    late(this).write(operations, (each, written) => write.call(this, each, options, written));
    setImmediate(done);
  };
  FaultyDisk.prototype.get = function cached(key) {
    const found = late(this).find(key);
    return found ? found.value?.slice() : get.call(this, key);
  };
  FaultyDisk.prototype.scan = function flushed(
    range: DiskRange,
    done: (error: DiskError | undefined, page: readonly DiskEntry[]) => void,
  ) {
    late(this).flushed(() => scan.call(this, range, done));
  };
  FaultyDisk.prototype.close = function flushing() {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    late(this).flushed(() => {
      close.call(this).then(resolve, reject);
    });
    return promise;
  };
}

class LateDisk {
  readonly #waiting: Late[] = [];
  readonly #flushed: (() => void)[] = [];

  write(
    operations: readonly DiskOperation[],
    write: (operations: readonly DiskOperation[], done: Parameters<Disk["write"]>[2]) => void,
  ): void {
    const entry = { operations };
    this.#waiting.push(entry);
    setTimeout(() => {
      write(operations, () => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        if (this.#waiting.length > 0) return;
        for (const flushed of this.#flushed.splice(0)) flushed();
      });
    }, writtenLateMillis);
  }

  find(key: Uint8Array): DiskOperation | undefined {
    const same = (operation: DiskOperation) => Buffer.compare(operation.key, key) === 0;
    return this.#waiting
      .findLast(({ operations }) => operations.some(same))
      ?.operations.findLast(same);
  }

  flushed(then: () => void): void {
    if (this.#waiting.length === 0) then();
    else this.#flushed.push(then);
  }
}

function refuseFirstCommands(): void {
  const { submit } = Proposals.prototype;
  let refused = 0;
  Proposals.prototype.submit = function hesitant(...parameters) {
    return ++refused > refusedFirst ? submit.apply(this, parameters) : leaderChanged();
  };
}

function applyWronglyOnOneMember(): void {
  const { put } = History.prototype;
  const wrong = process.env["TRIREME_BROKEN_MEMBER"]?.includes("--name m2 ") === true;
  History.prototype.put = function forgetful(entry, value, lease, revision) {
    const given = wrong && revision % 16 === 0 ? `${value}?` : value;
    return put.call(this, entry, given, lease, revision);
  };
}
