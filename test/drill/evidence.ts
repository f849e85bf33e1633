/** Evidence of a drill that passed, to be spoilt by tests in one way each. */
import type { CallRecord, Evidence, Outcome, Plan } from "../../services/drill/evidence.ts";

const plan: Plan = {
  version: 1,
  name: "leader-kill",
  summary: "the leading master is killed",
  command: "npm run drill -- leader-kill",
  seed: 7,
  run: "run",
  startMs: 1_700_000_000_000,
  world: "store",
  face: "etcd",
  rate: 100,
  clients: 2,
  repeat: 1,
  thresholds: { writeOutageMillis: 300, failedCalls: 0, relists: 0, elections: 1 },
  overridden: [],
  pods: false,
};

export interface Draft extends Evidence {
  plan: Plan;
  calls: CallRecord[];
  watches: Evidence["watches"][number][];
  timeline: Evidence["timeline"][number][];
  outcome: Outcome;
}

const faultAt = 2_005;
const recoveredAt = 3_000;

/**
 * Two clients write and read every 10 ms for four seconds; for 100 ms after the fault there is no
 * answer.
 */
export function passingEvidence(): Draft {
  const calls: CallRecord[] = [];
  const changes: { revision: number; type: "put"; key: string; value: string }[] = [];
  const entries: Record<string, string> = {};
  let revision = 10;
  let register = "run.r-0.first";
  const put = (key: string, value: string) => {
    changes.push({ revision: ++revision, type: "put", key, value });
    entries[key] = value;
    return revision;
  };
  put("r-0", register);
  for (let t = 0; t < 4_000; t += 10) {
    const due = t > faultAt && t < faultAt + 100 ? faultAt + 100 : t;
    const common = { due: t, t: due, end: due + 5, code: "OK" };
    const value = `run.c0.${t}`;
    const key = `k-${t}`;
    calls.push({ ...common, op: "create", client: "c0", key, value, revision: put(key, value) });
    if (t % 40 === 0) {
      register = `run.c1.${t}`;
      const written = { op: "write", client: "c1", key: "r-0", value: register } as const;
      calls.push({ ...common, ...written, revision: put("r-0", register) });
    } else calls.push({ ...common, op: "read", client: "c1", key: "r-0", value: register });
  }
  const status = { kind: "status", leader: true, revision, applied: 9, commit: 9 } as const;
  return {
    folder: "",
    plan,
    calls,
    watches: [
      { kind: "session", watcher: "w0", t: 0, start: 11 },
      ...changes.map((event) => ({
        kind: "batch" as const,
        watcher: "w0",
        t: 2 * (event.revision - 10),
        revision: event.revision,
        events: [event],
      })),
    ],
    timeline: [
      { kind: "load", t: 0, state: "began" },
      { ...status, t: 100, name: "m0", leads: true, term: 1 },
      { kind: "round", t: 200, round: 1 },
      { kind: "victim", t: faultAt - 1, name: "m0", wanted: "leader", was: "leader" },
      { kind: "fault", t: faultAt, id: 1, name: "SIGKILL of m0" },
      { ...status, t: faultAt + 90, name: "m1", leads: true, term: 2 },
      { kind: "ending", t: 2_800, round: 1 },
      { kind: "undone", t: 2_900, id: 1 },
      { kind: "recovered", t: recoveredAt, round: 1 },
      { kind: "load", t: 4_000, state: "ended" },
    ],
    outcome: {
      fromRevision: 10,
      toRevision: revision,
      changes,
      entries,
      hashes: { m0: 1, m1: 1, m2: 1 },
    },
  };
}
