/**
 * Where a drill sets its fault. Everything that it does to the world goes through here: so it is
 * recorded, and undone at the end whatever happens, Ctrl-C included.
 */
import type { FaultSettings } from "../../proto/gen/cluster.ts";
import type { Recorder } from "./evidence.ts";
import type { Face } from "./faces/face.ts";
import type { Monitor } from "./monitor.ts";
import {
  isOurs,
  leads,
  type MemberRef,
  type ProcessRef,
  pause,
  type Role,
  until,
  type World,
} from "./world/world.ts";

/** Faults in a member end by themselves then, should the drill itself be killed. */
const faultExpireMillis = 60_000;
const leaderMillisMax = 15_000;
const wholeMillisMax = 45_000;

export interface SceneOptions {
  readonly world: World;
  readonly recorder: Recorder;
  readonly monitor: Monitor;
  readonly face: Face;
  readonly signal: AbortSignal;
  readonly random: (limit: number) => number;
  /** Whom to strike, in the place of whom the drill would. */
  readonly victim: string | undefined;
  /** A folder for what the drill makes on its way. */
  readonly scratch: string;
  /** Holds are shortened by it: 1 in full. */
  readonly pace: number;
  /** Says what is done, while it is done. */
  readonly tell: (text: string) => void;
}

export class Scene {
  readonly world: World;
  readonly recorder: Recorder;
  readonly face: Face;
  readonly signal: AbortSignal;
  readonly random: (limit: number) => number;
  readonly scratch: string;
  readonly #options: SceneOptions;
  readonly #undo: { readonly id: number; readonly undo: () => Promise<void> }[] = [];
  #faults = 0;
  /** Nodes that the drill has struck: what becomes of their pods is no disturbance. */
  readonly struckNodes = new Set<string>();

  constructor(options: SceneOptions) {
    this.#options = options;
    this.world = options.world;
    this.recorder = options.recorder;
    this.face = options.face;
    this.signal = options.signal;
    this.random = options.random;
    this.scratch = options.scratch;
  }

  /** The member that leads, after it is known that it does. */
  async leader(): Promise<MemberRef> {
    const { monitor } = this.#options;
    return await until(
      "a leader",
      async () => {
        const member = this.member(monitor.leader);
        return member !== undefined && leads(await member.status()) && member;
      },
      leaderMillisMax,
      this.signal,
    );
  }

  async followers(): Promise<readonly MemberRef[]> {
    const leader = await this.leader();
    return this.world.members.filter((member) => member !== leader);
  }

  member(name: string | undefined): MemberRef | undefined {
    return this.world.members.find((member) => member.name === name);
  }

  /** The member to strike, with what it is at this moment, which is recorded. */
  async victim(wanted: "leader" | "follower"): Promise<MemberRef> {
    const leader = await this.leader();
    const followers = this.world.members.filter((member) => member !== leader);
    const chosen = wanted === "leader" ? leader : followers[this.random(followers.length)];
    const given = this.#options.victim;
    const named =
      given === "leader" ? leader : given === "follower" ? followers[0] : this.member(given);
    const victim = given === undefined ? chosen : named;
    if (victim === undefined) throw new Error(`no member is called ${given}`);
    const was = victim === leader ? "leader" : "follower";
    this.recorder.mark({ kind: "victim", t: this.recorder.now(), name: victim.name, wanted, was });
    return victim;
  }

  /** A process of this role; `name` decides, or else the first. */
  victimProcess(role: Role, name?: string): ProcessRef {
    const all = this.world.processes(role);
    const wantedName = this.#options.victim ?? name;
    const victim = all.find((each) => wantedName === undefined || each.name === wantedName);
    if (victim === undefined) throw new Error(`no ${role} is called ${wantedName}`);
    const t = this.recorder.now();
    const was = name === undefined || name === victim.name ? role : "standby";
    this.recorder.mark({ kind: "victim", t, name: victim.name, wanted: role, was });
    return victim;
  }

  /** Records a fault; `undo` is called once, at the latest at the end. */
  strike(name: string, undo: () => Promise<void>): void {
    const id = ++this.#faults;
    this.recorder.mark({ kind: "fault", t: this.recorder.now(), id, name });
    this.#undo.push({ id, undo });
    this.#options.tell(name);
  }

  /** SIGKILL. A member is started again when it is undone, other processes by their supervisor. */
  kill(victim: ProcessRef, revive: () => Promise<void> = async () => {}): void {
    const pid = this.#pid(victim);
    this.strike(`SIGKILL of ${victim.name}`, revive);
    process.kill(pid, "SIGKILL");
  }

  killMember(member: MemberRef): void {
    this.kill(member, () => this.world.revive(member));
  }

  /** SIGSTOP, until it is undone. */
  stop(victim: ProcessRef): void {
    const pid = this.#pid(victim);
    this.strike(`SIGSTOP of ${victim.name}`, async () => goOn(pid));
    // Whatever ends this program, the process goes on.
    process.on("exit", () => goOn(pid));
    process.kill(pid, "SIGSTOP");
  }

  /** SIGTERM; resolves when the process is gone. */
  async terminate(victim: ProcessRef, withinMillis = 15_000): Promise<void> {
    const pid = this.#pid(victim);
    process.kill(pid, "SIGTERM");
    // Its parent has to have seen it too, or it would not start another.
    const gone = async () => !isOurs(pid) && victim.pid() !== pid;
    await until(`${victim.name} to end`, gone, withinMillis);
  }

  /** Sets faults into members; all of them are undone together. */
  async setFaults(
    name: string,
    faults: readonly (readonly [MemberRef, Omit<FaultSettings, "expireMillis">])[],
  ): Promise<void> {
    this.strike(name, async () => {
      await Promise.all(faults.map(([member]) => clearFaults(member)));
    });
    const expireMillis = faultExpireMillis;
    await Promise.all(
      faults.map(([member, settings]) => member.setFaults({ ...settings, expireMillis })),
    );
  }

  /** Waits until every member follows one leader, and the world's other parts serve. */
  async whole(withinMillis = wholeMillisMax): Promise<void> {
    const { members } = this.world;
    await until(
      "the members to agree on a leader, and everything to serve",
      async () => {
        const all = await Promise.all(members.map((member) => member.status()));
        const leaders = new Set(all.map((status) => String(status?.leader ?? "")));
        return leaders.size === 1 && !leaders.has("") && !leaders.has("0") && this.world.serves();
      },
      withinMillis,
      this.signal,
    );
  }

  /** Resolves when the member's process is gone. */
  async gone(member: MemberRef, withinMillis = 15_000): Promise<void> {
    const ended = async () => member.pid() === undefined;
    await until(`${member.name} to end`, ended, withinMillis, this.signal);
  }

  /** Keeps the fault for so long, however short the drill is to be. */
  async holdInFull(millis: number): Promise<void> {
    await pause(millis, this.signal);
  }

  /** Keeps the fault for so long. */
  async hold(millis: number): Promise<void> {
    await pause(Math.max(500, millis * this.#options.pace), this.signal);
  }

  /** Ends what is set, the last first. Every one is tried; throws the first failure. */
  async undo(): Promise<void> {
    let failure: unknown;
    for (;;) {
      const last = this.#undo.pop();
      if (last === undefined) break;
      try {
        await last.undo();
      } catch (thrown) {
        failure ??= thrown;
      }
      this.recorder.mark({ kind: "undone", t: this.recorder.now(), id: last.id });
    }
    if (failure !== undefined) throw failure;
  }

  fact(name: string, value: number): void {
    this.recorder.mark({ kind: "fact", t: this.recorder.now(), name, value });
  }

  /** Something that the drill itself has found wrong. */
  fail(text: string): void {
    this.recorder.mark({ kind: "failure", t: this.recorder.now(), text });
  }

  #pid(victim: ProcessRef): number {
    const pid = victim.pid();
    if (isOurs(pid)) return pid;
    throw new Error(`${victim.name} does not run`);
  }
}

async function clearFaults(member: MemberRef): Promise<void> {
  // A member that was started again has none; one that is away forgets them, or they expire.
  if (member.pid() === undefined) return;
  await member.setFaults({ peers: [] });
}

function goOn(pid: number): void {
  if (isOurs(pid)) process.kill(pid, "SIGCONT");
}
