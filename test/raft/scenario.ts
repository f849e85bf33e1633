/**
 * Interprets a scenario: prose, commands (`> …`) and the transcript that they produce (`| …`).
 *
 * Members draw no lots here: member n times out n-1 ticks after the shortest timeout, so that a
 * reader can tell who goes first.
 *
 * ```
 * cluster 1 2 3 [limit=number …]   begin, with these voters join 4                           a
 * blank member that knows no membership elect 1                          make it leader, without a
 * transcript tick 10 [members] [quietly]      time passes, for all or for some pass 10
 * time passes for all, and every message arrives; no messages shown run [quietly]
 * deliver until nothing moves; quietly: no messages in transcript round
 * deliver what is under way now, and no answers campaign 1 · linklost 2 1 · propose 1 words · read
 * 1 7 · hurry 1 · transfer 1 2 change 1 voters=1,2 learners=3   propose one-at-a-time · joint 1 voters=…
 * propose joint cut 1 2 · isolate 1 · heal       the network between them drops everything crash 1
 * · restart 1              loses what was not written slowdisk 1 · written 1 · fastdisk 1   writes
 * wait; all done; no more waiting compact 1                        snapshot at the applied index
 * status [members] · log 1
 * ```
 */
import {
  type Entry,
  EntryKind,
  joinMemberships,
  type LogIndex,
  type Membership,
  type Message,
  MessageType,
} from "../../ha/raft/mod.ts";
import type { MemberId, Random } from "../../ha/runtime/types.ts";
import {
  bytes,
  checkLogMatching,
  codec,
  defaultConfig,
  type Envelope,
  id,
  Member,
  membershipOf,
  roleNames,
  text,
  Witness,
  wholeLog,
} from "./cluster.ts";

/** The scenario with its transcript made anew. */
export function replay(source: string): string {
  const stage = new Stage();
  const result: string[] = [];
  for (const line of source.split("\n")) {
    if (line.startsWith("|")) continue;
    result.push(line);
    if (!line.startsWith(">")) continue;
    for (const output of stage.perform(line.slice(1).trim())) result.push(`| ${output}`);
  }
  return result.join("\n");
}

type Command = (words: readonly string[]) => void;

class Stage {
  #members = new Map<number, Member>();
  #witness = new Witness();
  #wire: Envelope[] = [];
  #cuts = new Set<string>();
  #output: string[] = [];
  #quiet = false;
  #starting = false;
  #config = defaultConfig;

  readonly #commands: Readonly<Record<string, Command>> = {
    cluster: (words) => {
      const limits = Object.fromEntries(
        settings(words).map(([key, value]) => [key, Number(value)]),
      );
      this.#config = { ...defaultConfig, ...limits };
      this.#members = new Map();
      this.#witness = new Witness();
      this.#wire = [];
      this.#cuts.clear();
      const voters = words.filter((word) => !word.includes("=")).map(Number);
      for (const voter of voters) this.#add(voter, membershipOf(voters));
    },
    join: ([name]) => this.#add(Number(name), membershipOf([])),
    elect: ([name]) => {
      this.#quiet = true;
      this.#raft(name).campaign();
      this.#settle();
      this.#run(true);
      this.#output = [];
    },
    tick: ([count, ...names]) => {
      this.#quiet = names.at(-1) === "quietly";
      this.#tick(Number(count), this.#quiet ? names.slice(0, -1) : names);
      this.#quiet = false;
    },
    pass: ([count]) => {
      for (let tick = 0; tick < Number(count); tick++) {
        this.#quiet = true;
        this.#tick(1, []);
        this.#run(true);
      }
    },
    run: ([quietly]) => this.#run(quietly === "quietly"),
    round: () => this.#round(),
    campaign: ([name]) => this.#raft(name).campaign(),
    linklost: ([name, peer]) => this.#raft(name).linkLost(id(Number(peer))),
    propose: ([name, ...items]) => this.#say(this.#raft(name).propose(items.map(bytes))),
    read: ([name, context]) => this.#raft(name).readIndex(Number(context)),
    hurry: ([name]) => this.#raft(name).hurryReads(),
    transfer: ([name, to]) => this.#raft(name).transferLeadership(id(Number(to))),
    change: ([name, ...words]) => this.#change(name, parseMembership(words)),
    joint: ([name, ...words]) => {
      const current = this.#raft(name).status().membership;
      this.#change(name, joinMemberships(current, parseMembership(words)));
    },
    cut: ([from, to]) => this.#cut(Number(from), Number(to)),
    isolate: ([name]) => {
      for (const other of this.#members.keys()) this.#cut(Number(name), other);
    },
    heal: () => this.#cuts.clear(),
    crash: ([name]) => this.#member(name).crash(),
    restart: ([name]) => this.#member(name).start(),
    slowdisk: ([name]) => {
      this.#member(name).slowDisk = true;
    },
    written: ([name]) => this.#member(name).finishWrites(),
    fastdisk: ([name]) => {
      this.#member(name).slowDisk = false;
      this.#member(name).finishWrites();
    },
    compact: ([name]) => this.#member(name).compact(),
    status: (names) => this.#status(names),
    log: ([name]) => this.#log(name),
  };

  perform(line: string): readonly string[] {
    const [name = "", ...words] = line.split(/\s+/);
    const command = this.#commands[name];
    if (command === undefined) throw new Error(`scenario: unknown command “${line}”`);
    this.#output = [];
    command(words);
    this.#settle();
    checkLogMatching(this.#members.values());
    return this.#output;
  }

  #add(name: number, membership: Membership): void {
    const random: Random = {
      below: (limit) => (name - 1) % limit,
      bytes: (length) => new Uint8Array(length),
    };
    const network = {
      send: (envelope: Envelope) => this.#send(envelope),
      note: (line: string) => {
        if (!this.#starting) this.#output.push(line);
      },
    };
    const config = { ...this.#config, id: id(name) };
    const member = new Member(config, random, membership, network, this.#witness);
    this.#members.set(name, member);
    this.#starting = true;
    member.start();
    this.#starting = false;
  }

  #send(envelope: Envelope): void {
    const { from, to } = envelope.message;
    const lost = this.#cuts.has(`${from}-${to}`) || this.#members.get(to)?.raft === undefined;
    if (!this.#quiet) {
      this.#output.push(`${from} → ${to}  ${describe(envelope.message)}${lost ? "  ✗" : ""}`);
    }
    if (!lost) this.#wire.push(envelope);
    if (envelope.message.type === MessageType.snapshot) {
      this.#members.get(from)?.raft?.snapshotSent(to, !lost);
    }
  }

  #round(): void {
    const wire = this.#wire;
    this.#wire = [];
    for (const envelope of wire) {
      this.#members.get(envelope.message.to)?.receive(envelope);
    }
  }

  #run(quiet: boolean): void {
    this.#quiet = quiet;
    for (let rounds = 0; this.#wire.length > 0; rounds++) {
      if (rounds > 1000) throw new Error("scenario: the members do not come to rest");
      this.#round();
      this.#settle();
    }
    this.#quiet = false;
  }

  #tick(count: number, names: readonly string[]): void {
    const members = names.length > 0 ? names.map((name) => this.#member(name)) : this.#alive();
    for (let tick = 0; tick < count; tick++) {
      for (const member of members) member.raft?.tick();
      this.#settle();
    }
  }

  #settle(): void {
    for (const member of this.#members.values()) member.process();
  }

  #change(name: string | undefined, membership: Membership): void {
    const data = codec.encode(membership);
    this.#say(this.#raft(name).proposeMembership({ membership, data }));
  }

  #cut(from: number, to: number): void {
    this.#cuts.add(`${from}-${to}`);
    this.#cuts.add(`${to}-${from}`);
  }

  #status(names: readonly string[]): void {
    for (const member of names.length > 0
      ? names.map((name) => this.#member(name))
      : this.#alive()) {
      const status = this.#raft(String(member.id)).status();
      const { role, term, leader, commit, lastIndex, membership, progress } = status;
      const parts = [
        `${roleNames[role]} in term ${term}`,
        `log to ${lastIndex}`,
        `commit ${commit}`,
      ];
      if (leader !== undefined && leader !== member.id) parts.push(`follows ${leader}`);
      parts.push(describeMembership(membership));
      this.#output.push(`${member.id}: ${parts.join(", ")}`);
      for (const peer of progress) {
        const kind = peer.learner ? " (no voter)" : "";
        this.#output.push(
          `   ${peer.id}${kind}: ${peer.state}, match ${peer.match}, next ${peer.next}`,
        );
      }
    }
  }

  #log(name: string | undefined): void {
    const raft = this.#raft(name);
    const { firstIndex } = raft.status();
    const base = (firstIndex - 1) as LogIndex;
    const parts = base > 0 ? [`snapshot at ${base}@${raft.termAt(base)}`] : [];
    parts.push(...wholeLog(raft).map(describeEntry));
    this.#output.push(parts.join(" · ") || "empty");
  }

  #say(refusal: string | undefined): void {
    if (refusal !== undefined) this.#output.push(`refused: ${refusal}`);
  }

  #alive(): readonly Member[] {
    return [...this.#members.values()].filter((member) => member.raft !== undefined);
  }

  #member(name: string | undefined): Member {
    const member = this.#members.get(Number(name));
    if (member === undefined) throw new Error(`scenario: there is no member ${name}`);
    return member;
  }

  #raft(name: string | undefined) {
    const { raft } = this.#member(name);
    if (raft === undefined) throw new Error(`scenario: member ${name} is down`);
    return raft;
  }
}

function settings(words: readonly string[]): readonly (readonly [string, string])[] {
  return words
    .filter((word) => word.includes("="))
    .map((word) => word.split("=") as [string, string]);
}

function parseMembership(words: readonly string[]): Membership {
  const parts = settings(words).map(([key, ids]) => [key, ids.split(",").map(Number)]);
  const { voters = [], ...more } = Object.fromEntries(parts) as Record<string, MemberId[]>;
  return membershipOf(voters, more);
}

function describeMembership(membership: Membership): string {
  const { voters, outgoing, learners, learnersNext } = membership;
  const parts = [`voters ${voters.join(" ") || "unknown"}`];
  if (outgoing.length > 0) parts.push(`jointly with ${outgoing.join(" ")}`);
  if (learners.length > 0) parts.push(`learners ${learners.join(" ")}`);
  if (learnersNext.length > 0) parts.push(`learners to be ${learnersNext.join(" ")}`);
  return parts.join(", ");
}

function describeEntry(entry: Entry): string {
  const position = `${entry.index}@${entry.term}`;
  if (entry.kind === EntryKind.membership) {
    return `${position} {${describeMembership(codec.decode(entry.data))}}`;
  }
  return entry.data.length === 0 ? `${position} –` : `${position} “${text(entry.data)}”`;
}

const describers: Readonly<Record<MessageType, (message: Message) => string>> = {
  [MessageType.append]: ({ index, logTerm, entries, commit }) => {
    const content = entries.map(describeEntry).join(" · ") || "nothing new";
    return `append after ${index}@${logTerm}: ${content}; commit ${commit}`;
  },
  [MessageType.appendResponse]: ({ reject, index, rejectHint, rejectTerm, term }) => {
    if (!reject) return `has all to ${index}`;
    if (index === 0) return `refuses: it is term ${term}`;
    return `does not have ${index}, perhaps ${rejectHint}@${rejectTerm}`;
  },
  [MessageType.heartbeat]: ({ commit, context }) => `heartbeat, commit ${commit}${round(context)}`,
  [MessageType.heartbeatResponse]: ({ context }) => `heard${round(context)}`,
  [MessageType.preVote]: ({ term, index, logTerm }) =>
    `would you vote for me in term ${term}? my log ends ${index}@${logTerm}`,
  [MessageType.preVoteResponse]: ({ reject, term }) =>
    reject ? `would not; it is term ${term}` : `would, in term ${term}`,
  [MessageType.vote]: ({ term, index, logTerm, force }) =>
    `vote for me in term ${term}; my log ends ${index}@${logTerm}${force ? "; by order" : ""}`,
  [MessageType.voteResponse]: ({ reject, term }) =>
    reject ? `no; it is term ${term}` : `my vote is yours in term ${term}`,
  [MessageType.snapshot]: ({ snapshot }) => `snapshot at ${snapshot?.index}@${snapshot?.term}`,
  [MessageType.propose]: ({ entries }) =>
    `please propose ${entries.map((entry) => `“${text(entry.data)}”`).join(" ")}`,
  [MessageType.readIndex]: ({ context }) => `where may batch ${context % 2 ** 20} be read?`,
  [MessageType.readIndexResponse]: ({ context, index }) => `batch ${context % 2 ** 20} at ${index}`,
  [MessageType.timeoutNow]: () => "take over now",
  [MessageType.commit]: ({ index, logTerm }) => `committed to ${index}@${logTerm}`,
};

function describe(message: Message): string {
  return describers[message.type](message);
}

function round(context: number): string {
  return context > 0 ? `, read round ${context}` : "";
}
