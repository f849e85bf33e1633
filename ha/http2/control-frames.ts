/** The frames that govern a connection: SETTINGS, PING, GOAWAY, WINDOW_UPDATE. */
import {
  ConnectionError,
  ErrorCode,
  Flag,
  largestFrameBytes,
  largestWindowBytes,
  SettingId,
} from "./codes.ts";
import type { Core } from "./core.ts";
import { expectLength, overWindow, protocol } from "./faults.ts";
import { FloodMeter } from "./flood.ts";

export interface ControlEvents {
  /** Our SETTINGS, for the first time. */
  acknowledged(): void;
  /** The last four bytes of a ping of ours. */
  pong(payload: number): void;
}

export class ControlFrames {
  readonly #core: Core;
  readonly #events: ControlEvents;
  readonly #pings: FloodMeter;
  readonly #settings: FloodMeter;
  readonly #windowUpdates: FloodMeter;
  #dataFramesSeen = 0;
  /** The peer's first SETTINGS have come. */
  greeted = false;
  settingsAcknowledged = false;

  constructor(core: Core, events: ControlEvents) {
    const { limits } = core;
    this.#core = core;
    this.#events = events;
    this.#pings = new FloodMeter("pings", limits.pings);
    this.#settings = new FloodMeter("settings", limits.settings);
    this.#windowUpdates = new FloodMeter("window updates", limits.windowUpdates);
  }

  onSettings(flags: number, streamId: number, bytes: Buffer, start: number, end: number) {
    const core = this.#core;
    if (streamId !== 0) throw protocol(`SETTINGS on stream ${streamId}`);
    if ((flags & Flag.ack) !== 0) {
      expectLength("an acknowledgement of SETTINGS", end - start, 0);
      if (!this.greeted) throw protocol("no SETTINGS first");
      if (!this.settingsAcknowledged) this.#events.acknowledged();
      this.settingsAcknowledged = true;
      return;
    }
    if ((end - start) % 6 !== 0) {
      throw new ConnectionError(ErrorCode.frameSizeError, "SETTINGS of a broken length");
    }
    this.#settings.count(core.now);
    for (let at = start; at < end; at += 6) {
      this.#applySetting(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2));
    }
    this.greeted = true;
    core.output.settingsAck();
    core.sender.pump();
    core.handler.onSettings?.();
  }

  #applySetting(id: number, value: number) {
    const core = this.#core;
    switch (id) {
      case SettingId.enablePush:
        if (value > 1 || (value === 1 && core.role === "client")) {
          throw protocol(`SETTINGS_ENABLE_PUSH of ${value}`);
        }
        break;
      case SettingId.maxConcurrentStreams:
        core.peerConcurrentStreams = value;
        break;
      case SettingId.initialWindowSize:
        if (value > largestWindowBytes) throw overWindow(`SETTINGS_INITIAL_WINDOW_SIZE ${value}`);
        this.#resizeWindows(value);
        break;
      case SettingId.maxFrameSize:
        if (value < 16_384 || value > largestFrameBytes) {
          throw protocol(`SETTINGS_MAX_FRAME_SIZE of ${value}`);
        }
        // The smallest frames are large enough: larger ones would make other streams wait longer.
        break;
      case SettingId.maxHeaderListSize:
        core.peerHeaderListBytes = value;
        break;
      default:
      // HEADER_TABLE_SIZE: our encoder has no table. Unknown settings are to be ignored (section
      // 6.5.2).
    }
  }

  /** Section 6.9.2: the change applies to every open stream. */
  #resizeWindows(value: number) {
    const { sender, streams } = this.#core;
    const change = value - sender.initialWindowBytes;
    if (change === 0) return;
    // One frame may hold thousands of changes, each of which concerns every stream.
    this.#settings.count(this.#core.now);
    sender.initialWindowBytes = value;
    for (const stream of streams.values()) {
      stream.sendWindow += change;
      if (stream.sendWindow > largestWindowBytes) throw overWindow(`stream ${stream.id}'s window`);
      sender.enlarged(stream);
    }
  }

  onPing(flags: number, streamId: number, bytes: Buffer, start: number, end: number) {
    if (streamId !== 0) throw protocol(`PING on stream ${streamId}`);
    expectLength("PING", end - start, 8);
    if ((flags & Flag.ack) !== 0) {
      this.#events.pong(bytes.readUInt32BE(start + 4));
      return;
    }
    this.#pings.count(this.#core.now);
    this.#core.output.ping(bytes, start, true);
  }

  onGoaway(streamId: number, bytes: Buffer, start: number, end: number) {
    const core = this.#core;
    if (streamId !== 0) throw protocol(`GOAWAY on stream ${streamId}`);
    if (end - start < 8) throw new ConnectionError(ErrorCode.frameSizeError, "a short GOAWAY");
    this.#settings.count(core.now);
    const last = bytes.readUInt32BE(start) & 0x7fff_ffff;
    const code = bytes.readUInt32BE(start + 4);
    core.handler.onGoaway(
      last,
      code,
      bytes.toString("latin1", start + 8, Math.min(end, start + 136)),
    );
    if (core.role === "client") core.giveUp((stream) => stream.id > last, "refused");
    core.closing = true;
    if (core.streams.size === 0) core.finish(undefined);
  }

  onWindowUpdate(streamId: number, bytes: Buffer, start: number, end: number) {
    const core = this.#core;
    const { sender } = core;
    expectLength("WINDOW_UPDATE", end - start, 4);
    // Updates that answer our DATA are no flood.
    if (this.#dataFramesSeen + 1 < sender.dataFrames) this.#dataFramesSeen += 2;
    else this.#windowUpdates.count(core.now);
    const increment = bytes.readUInt32BE(start) & 0x7fff_ffff;
    if (streamId === 0) {
      if (increment === 0) throw protocol("WINDOW_UPDATE by 0");
      sender.windowBytes += increment;
      if (sender.windowBytes > largestWindowBytes) throw overWindow("the connection's window");
      return sender.pump();
    }
    if (core.isIdle(streamId)) throw protocol(`WINDOW_UPDATE of stream ${streamId}, still idle`);
    const stream = core.streams.get(streamId);
    if (stream === undefined) return;
    if (increment === 0) return core.streamError(stream, ErrorCode.protocolError);
    stream.sendWindow += increment;
    if (stream.sendWindow > largestWindowBytes) {
      return core.streamError(stream, ErrorCode.flowControlError);
    }
    sender.enlarged(stream);
    sender.pump();
  }
}
