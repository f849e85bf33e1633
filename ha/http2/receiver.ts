/** The receiving half: RFC 9113 section 6, frame by frame. Throws ConnectionErrors. */
import { ConnectionError, ErrorCode, Flag, FrameType } from "./codes.ts";
import { ControlFrames } from "./control-frames.ts";
import type { Core } from "./core.ts";
import { expectLength, overWindow, protocol } from "./faults.ts";
import { FloodMeter } from "./flood.ts";
import type { FrameSink } from "./frame-reader.ts";
import { BlockRole, HeaderBlock } from "./header-block.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import type { OverlongBlock } from "./overlong-block.ts";
import type { Stream } from "./stream.ts";

/** A header block of which CONTINUATION frames are missing. */
interface OpenBlock {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly selfDependent: boolean;
  readonly since: number;
  /** Its pieces so far; empty from when it is too long to be kept. */
  parts: Buffer[];
  frames: number;
  bytes: number;
  overlong?: { readonly block: HeaderBlock; readonly reader: OverlongBlock };
}

export class Receiver implements FrameSink {
  readonly #core: Core;
  readonly #decoder: HpackDecoder;
  readonly #emptyFrames: FloodMeter;
  readonly #refusals: FloodMeter;
  readonly #ignored: FloodMeter;
  #openBlock: OpenBlock | undefined;
  #lastStream: Stream | undefined;
  readonly control: ControlFrames;

  /** `pong` is told the last four bytes of acknowledged pings. */
  constructor(core: Core, pong: (payload: number) => void) {
    const { limits } = core;
    this.#core = core;
    this.#decoder = new HpackDecoder(limits);
    this.control = new ControlFrames(core, {
      acknowledged: () => this.#decoder.limitAcknowledged(),
      pong,
    });
    this.#emptyFrames = new FloodMeter("empty frames", limits.emptyFrames);
    this.#refusals = new FloodMeter("streams over the limit", limits.refusals);
    this.#ignored = new FloodMeter("frames without meaning here", limits.ignoredFrames);
  }

  /** When the header block that is still incomplete began; undefined: none is. */
  get openBlockSince(): number | undefined {
    return this.#openBlock?.since;
  }

  frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number) {
    if (this.#core.dead) return;
    if (this.#openBlock !== undefined && type !== FrameType.continuation) {
      throw protocol("a frame within a header block");
    }
    if (!this.control.greeted && type !== FrameType.settings) throw protocol("no SETTINGS first");
    switch (type) {
      case FrameType.data:
        return this.#onData(flags, streamId, bytes, start, end);
      case FrameType.headers:
        return this.#onHeaders(flags, streamId, bytes, start, end);
      case FrameType.priority:
        return this.#onPriority(streamId, bytes, start, end);
      case FrameType.rstStream:
        return this.#onRstStream(streamId, bytes, start, end);
      case FrameType.settings:
        return this.control.onSettings(flags, streamId, bytes, start, end);
      case FrameType.pushPromise:
        throw protocol("PUSH_PROMISE, which is not enabled");
      case FrameType.ping:
        return this.control.onPing(flags, streamId, bytes, start, end);
      case FrameType.goaway:
        return this.control.onGoaway(streamId, bytes, start, end);
      case FrameType.windowUpdate:
        return this.control.onWindowUpdate(streamId, bytes, start, end);
      case FrameType.continuation:
        return this.#onContinuation(flags, streamId, bytes, start, end);
      default:
        // Unknown types are to be ignored (section 5.5).
        this.#ignored.count(this.#core.now);
    }
  }

  #onData(flags: number, streamId: number, bytes: Buffer, start: number, end: number) {
    const core = this.#core;
    const size = end - start;
    if (streamId === 0) throw protocol("DATA on stream 0");
    if (size > core.receiveWindow) throw overWindow("the connection's window");
    core.receiveWindow -= size;
    let padding = 0;
    if ((flags & Flag.padded) !== 0) {
      padding = paddingOf(bytes, start, end);
      start++;
    }
    const stream = this.#find(streamId);
    if (stream === undefined || stream.remoteClosed) {
      core.credit(size);
      return this.#afterEnd(streamId, stream);
    }
    if (size > stream.receiveWindow) {
      core.credit(size);
      return core.streamError(stream, ErrorCode.flowControlError);
    }
    stream.receiveWindow -= size;
    stream.unconsumed += size;
    const length = end - padding - start;
    if (length < size) core.consume(stream, size - length);
    if (core.role === "client" && !stream.answered) {
      return core.streamError(stream, ErrorCode.protocolError);
    }
    const endStream = (flags & Flag.endStream) !== 0;
    if (stream.bodyLeft >= 0) {
      stream.bodyLeft -= length;
      if (stream.bodyLeft < 0 || (endStream && stream.bodyLeft > 0)) {
        return core.streamError(stream, ErrorCode.protocolError);
      }
    }
    if (length === 0 && !endStream) return this.#emptyFrames.count(core.now);
    stream.remoteClosed = endStream;
    core.handler.onData(stream, bytes, start, start + length, endStream);
    if (endStream) core.settle(stream);
  }

  /** The stream, where its record is still there. */
  #find(streamId: number): Stream | undefined {
    const last = this.#lastStream;
    if (last !== undefined && last.id === streamId && !last.closed) return last;
    return this.#core.streams.get(streamId);
  }

  /** DATA or HEADERS for a stream that has ended on the peer's side, or altogether. */
  #afterEnd(streamId: number, stream: Stream | undefined) {
    const core = this.#core;
    if (stream !== undefined) return core.streamError(stream, ErrorCode.streamClosed);
    if (this.#core.isIdle(streamId)) throw protocol(`a frame on stream ${streamId}, which is idle`);
    // The peer may have sent this before it knew of our reset (section 5.1).
    if (core.role === "client" || core.closedLately(streamId) === "by us") return;
    if (streamId > core.lastTakenId) return;
    core.resetId(streamId, ErrorCode.streamClosed);
  }

  #onHeaders(flags: number, streamId: number, bytes: Buffer, start: number, end: number) {
    if (streamId === 0) throw protocol("HEADERS on stream 0");
    if ((flags & Flag.padded) !== 0) {
      end -= paddingOf(bytes, start, end);
      start++;
    }
    let selfDependent = false;
    if ((flags & Flag.priority) !== 0) {
      if (end - start < 5) throw new ConnectionError(ErrorCode.frameSizeError, "short HEADERS");
      selfDependent = (bytes.readUInt32BE(start) & 0x7fff_ffff) === streamId;
      start += 5;
    }
    const endStream = (flags & Flag.endStream) !== 0;
    if ((flags & Flag.endHeaders) !== 0) {
      return this.#onBlock(streamId, bytes, start, end, endStream, selfDependent);
    }
    this.#openBlock = {
      streamId,
      endStream,
      selfDependent,
      since: this.#core.now(),
      parts: [bytes.subarray(start, end)],
      frames: 1,
      bytes: end - start,
    };
  }

  #onContinuation(flags: number, streamId: number, bytes: Buffer, start: number, end: number) {
    const open = this.#openBlock;
    if (open === undefined || open.streamId !== streamId) throw protocol("a stray CONTINUATION");
    const { headerBlockBytes, headerBlockBytesMax, continuationFrames } = this.#core.limits;
    open.bytes += end - start;
    open.frames++;
    if (open.bytes > headerBlockBytesMax || open.frames > continuationFrames + 1) {
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "a header block over the limit");
    }
    open.parts.push(bytes.subarray(start, end));
    const { streamId: id, endStream, selfDependent } = open;
    const complete = (flags & Flag.endHeaders) !== 0;
    if (complete) this.#openBlock = undefined;
    if (open.bytes > headerBlockBytes) {
      const block = this.#takeOverlong(open, complete);
      if (complete) this.#onDecoded(id, block, endStream, selfDependent);
    } else if (complete) {
      const whole = Buffer.concat(open.parts, open.bytes);
      this.#onBlock(id, whole, 0, whole.length, endStream, selfDependent);
    }
  }

  /**
   * Only the dynamic table follows a block of this length; the block is refused with its stream.
   */
  #takeOverlong(open: OpenBlock, complete: boolean): HeaderBlock {
    if (open.overlong === undefined) {
      const block = new HeaderBlock();
      open.overlong = { block, reader: this.#decoder.overlong(block) };
    }
    const { block, reader } = open.overlong;
    for (const part of open.parts) reader.take(part);
    open.parts = [];
    if (complete) reader.end();
    return block;
  }

  #onBlock(
    streamId: number,
    bytes: Buffer,
    start: number,
    end: number,
    endStream: boolean,
    selfDependent: boolean,
  ) {
    // Whatever becomes of the stream, the dynamic table must be kept in step.
    const block = this.#decoder.decode(bytes, start, end);
    this.#onDecoded(streamId, block, endStream, selfDependent);
  }

  #onDecoded(streamId: number, block: HeaderBlock, endStream: boolean, selfDependent: boolean) {
    const core = this.#core;
    const stream = core.streams.get(streamId);
    if (stream !== undefined) {
      if (stream.remoteClosed) return core.streamError(stream, ErrorCode.streamClosed);
      if (selfDependent) return core.streamError(stream, ErrorCode.protocolError);
      if (core.role === "client" && !stream.answered) {
        return this.#onResponse(stream, block, endStream);
      }
      return this.#onTrailers(stream, block, endStream);
    }
    if (core.role === "client") {
      if (this.#core.isIdle(streamId))
        throw protocol(`HEADERS on stream ${streamId}, which is idle`);
      return;
    }
    this.#onRequest(streamId, block, endStream, selfDependent);
  }

  #onRequest(streamId: number, block: HeaderBlock, endStream: boolean, selfDependent: boolean) {
    const core = this.#core;
    if ((streamId & 1) === 0) throw protocol(`a client's stream ${streamId}`);
    if (streamId <= core.lastPeerId) {
      const how = core.closedLately(streamId);
      if (how === "by us") return;
      if (how === undefined) throw protocol(`stream ${streamId} after ${core.lastPeerId}`);
      throw new ConnectionError(ErrorCode.streamClosed, `HEADERS on closed stream ${streamId}`);
    }
    core.lastPeerId = streamId;
    if (streamId > core.lastTakenId) return;
    if (core.streams.size >= core.limits.concurrentStreams) {
      this.#refusals.count(core.now);
      core.output.rstStream(streamId, ErrorCode.refusedStream);
      return;
    }
    if (block.tooLarge) return core.resetId(streamId, ErrorCode.enhanceYourCalm);
    if (selfDependent || block.fault(BlockRole.request) !== null) {
      return core.resetId(streamId, ErrorCode.protocolError);
    }
    const { contentLength } = block;
    if (endStream && contentLength > 0) return core.resetId(streamId, ErrorCode.protocolError);
    const stream = core.open(streamId, undefined);
    this.#lastStream = stream;
    stream.bodyLeft = contentLength;
    stream.remoteClosed = endStream;
    core.handler.onHeaders(stream, block, endStream);
  }

  #onResponse(stream: Stream, block: HeaderBlock, endStream: boolean) {
    const core = this.#core;
    if (block.tooLarge) return core.streamError(stream, ErrorCode.enhanceYourCalm);
    if (block.fault(BlockRole.response) !== null) {
      return core.streamError(stream, ErrorCode.protocolError);
    }
    if (block.get(":status")?.startsWith("1")) {
      stream.informational++;
      if (endStream || stream.informational > core.limits.informationalResponses) {
        core.streamError(stream, ErrorCode.protocolError);
      }
      return;
    }
    stream.answered = true;
    this.#lastStream = stream;
    // Without a body, a length may still be declared: it is that of the answer to a GET.
    if (!endStream) stream.bodyLeft = block.contentLength;
    stream.remoteClosed = endStream;
    core.handler.onHeaders(stream, block, endStream);
    if (endStream) core.settle(stream);
  }

  #onTrailers(stream: Stream, block: HeaderBlock, endStream: boolean) {
    const core = this.#core;
    if (block.tooLarge) return core.streamError(stream, ErrorCode.enhanceYourCalm);
    if (!endStream || stream.bodyLeft > 0 || block.fault(BlockRole.trailers) !== null) {
      return core.streamError(stream, ErrorCode.protocolError);
    }
    stream.remoteClosed = true;
    core.handler.onTrailers(stream, block);
    core.settle(stream);
  }

  /** Priorities are history (RFC 9113 section 5.3.2); what is plainly wrong is still refused. */
  #onPriority(streamId: number, bytes: Buffer, start: number, end: number) {
    const core = this.#core;
    if (streamId === 0) throw protocol("PRIORITY on stream 0");
    this.#ignored.count(core.now);
    const stream = core.streams.get(streamId);
    const code =
      end - start !== 5
        ? ErrorCode.frameSizeError
        : (bytes.readUInt32BE(start) & 0x7fff_ffff) === streamId
          ? ErrorCode.protocolError
          : undefined;
    if (code === undefined) return;
    if (stream !== undefined) core.streamError(stream, code);
    else throw new ConnectionError(code, `a wrong PRIORITY of stream ${streamId}`);
  }

  #onRstStream(streamId: number, bytes: Buffer, start: number, end: number) {
    const core = this.#core;
    expectLength("RST_STREAM", end - start, 4);
    if (streamId === 0) throw protocol("RST_STREAM on stream 0");
    if (this.#core.isIdle(streamId))
      throw protocol(`RST_STREAM on stream ${streamId}, which is idle`);
    const stream = core.streams.get(streamId);
    core.resets.count(core.now);
    if (stream === undefined) return;
    const code = bytes.readUInt32BE(start);
    core.close(stream, false);
    core.handler.onReset(stream, code, "peer");
  }
}

/** Bytes of padding at the end of a frame; its first byte says it. */
function paddingOf(bytes: Buffer, start: number, end: number): number {
  const padding = start < end ? (bytes[start] as number) : end;
  if (padding >= end - start) throw protocol("padding as long as its frame, or longer");
  return padding;
}
