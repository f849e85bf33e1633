/**
 * A process that gives way: while it starts, the programs that serve are scheduled before it. Linux
 * weighs processes by their session where it groups them so (autogroup), and by thread otherwise.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { getPriority, setPriority } from "node:os";

/** A tenth of the weight of a process that does not give way. */
const givingNice = 10;
const niceMax = 19;

/** The process of this pid gives way from now on; false: this system cannot take that back. */
export function giveWay(pid: number): boolean {
  const session = setSessionNice(pid, givingNice);
  return (
    (mayRaisePriority() && setThreadsNice(pid, Math.min(niceMax, getPriority() + givingNice))) ||
    session
  );
}

/** It is scheduled as this process is again; false: the system is asked too often for now. */
export function endGivingWay(pid: number): boolean {
  if (mayRaisePriority()) setThreadsNice(pid, getPriority());
  return setSessionNice(pid, 0) || !existsSync(`/proc/${pid}/autogroup`);
}

/** Any user may set this to 0 or above, ten times a second. The process leads its session. */
function setSessionNice(pid: number, nice: number): boolean {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(nice));
    return true;
  } catch {
    return false; // The kernel has no such groups, is asked too often, or the process has ended.
  }
}

/** Threads that these start later inherit it. */
function setThreadsNice(pid: number, nice: number): boolean {
  try {
    return (
      readdirSync(`/proc/${pid}/task`).filter((each) => setNice(Number(each), nice)).length > 0
    );
  } catch {
    return false; // The process has just ended.
  }
}

function setNice(thread: number, nice: number): boolean {
  try {
    setPriority(thread, nice);
    return true;
  } catch {
    return false; // The thread has just ended.
  }
}

const capabilitySysNice = 1n << 23n;
/** `RLIMIT_NICE` counts from 20 for nice 0 to 40 for nice -20. */
const niceLimitOfZero = 20;

/** Whether this process may give another the priority back, its own, that it took from it. */
function mayRaisePriority(): boolean {
  try {
    const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
    if ((BigInt(`0x${capabilities?.[1] ?? "0"}`) & capabilitySysNice) !== 0n) return true;
    const limit = /^Max nice priority\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return Number(limit?.[1] ?? 0) >= niceLimitOfZero - getPriority();
  } catch {
    return false; // Not Linux.
  }
}
