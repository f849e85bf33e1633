/** Raises the alarms that a member finds cause for: its quota is exceeded, or a state differs. */
import type { StatusError } from "../runtime/status-error.ts";
import type { Log, MemberId } from "../runtime/types.ts";
import { AlarmType, type Command, type StateMachine } from "../store/mod.ts";
import type { CommandDone } from "./proposals.ts";

export interface AlarmRaiserHost {
  readonly id: MemberId;
  readonly log: Log;
  machine(): StateMachine;
  failure(): StatusError | undefined;
  submit(command: Command, options: { readonly bytes: number }, done: CommandDone): void;
}

export class AlarmRaiser {
  readonly #host: AlarmRaiserHost;

  constructor(host: AlarmRaiserHost) {
    this.#host = host;
  }

  /** The disk of this member holds more than its quota. */
  noSpace(diskBytes: number): void {
    const member = this.#host.id;
    if (this.#host.machine().alarms.has({ member, kind: AlarmType.noSpace })) return;
    this.#host.log.error("the data takes more than its quota: writes will be refused", {
      diskBytes,
    });
    this.#raise(member, AlarmType.noSpace);
  }

  /** The state of `member` differs from that of the others. */
  corrupt(member: MemberId): void {
    this.#raise(member, AlarmType.corrupt);
  }

  #raise(member: MemberId, kind: AlarmType): void {
    if (this.#host.failure() || this.#host.machine().alarms.has({ member, kind })) return;
    const command = { kind: "alarm", member, alarm: kind, active: true } as const;
    this.#host.submit(command, { bytes: 0 }, (error) => {
      // The next measurement, or comparison, tries again.
      if (error) this.#host.log.warn("the alarm was not raised", { error: error.message });
    });
  }
}
