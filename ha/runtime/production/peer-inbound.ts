/** The accepting half of the link from one peer: its stream, and the lane that it may ask for. */
import type { Socket } from "node:net";
import { type Channel, laneChannel, type PeerStream, streamChannel } from "./peer-channel.ts";
import { controlFrame, FrameError, FrameKind, FrameReader } from "./peer-frames.ts";
import type { LaneServer } from "./peer-lane.ts";

const pong = controlFrame(FrameKind.pong);
/** A channel on which so many answers wait to be read is not read at all. */
const answerBytesMax = 64 * 1024;

interface InboundEvents {
  readonly message: (payload: Uint8Array) => void;
  readonly closed: () => void;
}

export class Inbound {
  readonly #lanes: LaneServer;
  readonly #events: InboundEvents;
  readonly #stream: Channel;
  #lane: Channel | undefined;
  #withdraw: () => void = () => {};

  constructor(stream: PeerStream, lanes: LaneServer, events: InboundEvents) {
    this.#lanes = lanes;
    this.#events = events;
    this.#stream = streamChannel(stream, {
      reader: new FrameReader((kind, payload) => this.#frame(this.#stream, kind, payload)),
      closed: () => this.abort(new Error("the stream was closed")),
    });
  }

  /** Both channels; `closed` is told. */
  abort(reason: Error): void {
    this.#withdraw();
    this.#lane?.abort(reason);
    this.#stream.abort(reason);
    this.#events.closed();
  }

  #frame(channel: Channel, kind: FrameKind, payload: Uint8Array): void {
    if (kind === FrameKind.message) this.#events.message(payload);
    else if (kind === FrameKind.ping) answer(channel, pong);
    else if (channel !== this.#stream) return;
    else if (kind === FrameKind.laneRequest) this.#offer(false);
    else if (kind === FrameKind.plainLaneRequest) this.#offer(true);
  }

  /** One at a time: a new offer voids the one before. */
  #offer(wantsPlain: boolean): void {
    this.#withdraw();
    const taken = (socket: Socket) => {
      this.#lane?.abort(new Error("replaced by a new lane"));
      const lane = laneChannel(socket, {
        reader: new FrameReader((kind, payload) => this.#frame(lane, kind, payload)),
        closed: () => {
          if (this.#lane === lane) this.abort(new Error("the lane was closed"));
        },
      });
      this.#lane = lane;
    };
    const { offer, plain, withdraw } = this.#lanes.grant(taken, wantsPlain);
    this.#withdraw = withdraw;
    const kind = plain ? FrameKind.plainLaneOffer : FrameKind.laneOffer;
    answer(this.#stream, controlFrame(kind, offer));
  }
}

function answer(channel: Channel, frame: Uint8Array): void {
  if (channel.queuedBytes > answerBytesMax) throw new FrameError("asks without reading answers");
  channel.send(frame);
}
