/**
 * The bytes of watch responses that are the same for every watch. A response is a header (a
 * message's field, the same for all at one revision), the id of the watch, and a body (the fields
 * behind it). Protobuf fields may simply stand one behind the other, so a body is made once for all
 * watches that get the batch, and an event once for all batches that it is in.
 */
import { WatchResponse } from "../../proto/gen/etcd.ts";
import type { MemberStatus, Revision, WatchBatch, WatchEvent } from "../store/mod.ts";
import { wireEvent } from "./convert-answers.ts";
import type { MemberHeader } from "./member-header.ts";

/** One response without header and id. */
export interface Body {
  readonly bytes: Uint8Array;
  /** The last revision that it completes. */
  readonly revision: Revision;
}

export class WatchBodies {
  private readonly header: MemberHeader;
  private readonly maxBytes: number;
  private readonly events = new WeakMap<WatchEvent, Uint8Array>();
  private readonly whole = new WeakMap<readonly WatchEvent[], readonly Body[]>();
  private readonly fragmented = new WeakMap<readonly WatchEvent[], readonly Body[]>();
  private headerBytes: Uint8Array = Buffer.alloc(0);
  /** What `headerBytes` says. */
  private headerStatus: MemberStatus | undefined;
  private headerRevision: Revision | undefined;

  /** A response is cut when it would have more than `maxBytes`, about. */
  constructor(header: MemberHeader, maxBytes: number) {
    this.header = header;
    this.maxBytes = maxBytes;
  }

  /** The field of the header. */
  headerAt(revision: Revision): Uint8Array {
    const { current } = this.header;
    if (revision !== this.headerRevision || current !== this.headerStatus) {
      this.headerBytes = WatchResponse.encode({ header: this.header.of(revision) }).finish();
      this.headerRevision = revision;
      this.headerStatus = current;
    }
    return this.headerBytes;
  }

  /** The field of the header, and that of an id of whatever size. */
  headerWith(revision: Revision, watchId: bigint): Uint8Array {
    return WatchResponse.encode({ header: this.header.of(revision), watchId }).finish();
  }

  /**
   * The bodies of a batch with events: cut between revisions, and with `fragment` also within one.
   */
  of({ events, revision }: WatchBatch, fragment: boolean): readonly Body[] {
    const known = fragment ? this.fragmented : this.whole;
    let bodies = known.get(events);
    if (bodies === undefined) {
      bodies = this.cut(events, revision, fragment);
      known.set(events, bodies);
    }
    return bodies;
  }

  private cut(events: readonly WatchEvent[], last: Revision, fragment: boolean): readonly Body[] {
    const bodies: Body[] = [];
    let fields: Uint8Array[] = [];
    let bytes = 0;
    let before: Revision | undefined;
    for (const event of events) {
      const field = this.fieldOf(event);
      const revision = event.kv.modRevision;
      const within = before === revision;
      if (before !== undefined && bytes + field.length > this.maxBytes && (!within || fragment)) {
        if (within) fields.push(moreToCome);
        bodies.push({ bytes: joined(fields), revision: before });
        fields = [];
        bytes = 0;
      }
      fields.push(field);
      bytes += field.length;
      before = revision;
    }
    bodies.push({ bytes: joined(fields), revision: last });
    return bodies;
  }

  private fieldOf(event: WatchEvent): Uint8Array {
    let field = this.events.get(event);
    if (field === undefined) {
      field = WatchResponse.encode({ events: [wireEvent(event)] }).finish();
      this.events.set(event, field);
    }
    return field;
  }
}

const moreToCome = WatchResponse.encode({ fragment: true }).finish();

function joined(fields: readonly Uint8Array[]): Uint8Array {
  const [only] = fields;
  return fields.length === 1 && only !== undefined ? only : Buffer.concat(fields);
}
