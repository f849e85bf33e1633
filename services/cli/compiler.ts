/**
 * When V8 compiles what and collects how much, for every program and thread of this process.
 *
 * A server is asked different things by the thousand rather than one thing by the million: its
 * functions are compiled quickly early (Maglev after 100 calls, not 400), and the slow compiler,
 * which costs as much as the calls themselves in the first minutes, only takes up what is really
 * hot (30,000 calls, not 3,000). `npm run bench -- api` shows the difference in its first rounds.
 *
 * A heap that grows is collected each time it has grown by a third or so, with a pause each time,
 * for next to nothing: a master keeps what it is given. So the first time comes at 128 MB. The main
 * thread's heap is there before this module: see `heapOptions`. The young generation is left to
 * grow: held at 16 MB it saves 60 MB and at 8 MB 100, but where pods are bound by the thousand a
 * master then spends 5 % and 13 % more, for what is under way is moved more often.
 *
 * The young generation is collected by several threads at once, and the program waits for the last:
 * on two cores, which a local cluster shares among its processes, those that help wait for a turn
 * themselves, and to share the work costs more than it saves (5 % of all that a master spends on the
 * creation of pods). With more cores the pauses are shorter this way, and it stays.
 */
import { availableParallelism } from "node:os";
import { setFlagsFromString } from "node:v8";

setFlagsFromString("--invocation-count-for-maglev=100");
setFlagsFromString("--invocation-count-for-turbofan=30000");

if (availableParallelism() <= 2) setFlagsFromString("--no-parallel-scavenge");

const initialHeap = "--initial-old-space-size=128";
setFlagsFromString(initialHeap);

/** Options of Node for a process that is about to run this component. */
export function heapOptions(component: string | undefined): readonly string[] {
  return component === "apiserver" ? [initialHeap] : [];
}
