/**
 * Traces of requests, in the words of OpenTelemetry, carried between processes as W3C Trace Context
 * (https://www.w3.org/TR/trace-context/) has it: in the field `traceparent`.
 *
 * A process without a tracer makes no spans and allocates nothing for them. The code that starts a
 * span ends it, once.
 */

export const traceparentHeader = "traceparent";

/** Which span a request comes from. */
export interface SpanContext {
  /** 32 digits in lower-case hexadecimal. */
  readonly traceId: string;
  /** 16 of them. */
  readonly spanId: string;
  readonly sampled: boolean;
}

const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const invalidVersion = "ff";
const noTrace = "0".repeat(32);
const noSpan = "0".repeat(16);
const sampledFlag = 1;

/** Undefined: there is none, or it is malformed, which counts as none (section 3.2). */
export function parseTraceparent(text: string | undefined): SpanContext | undefined {
  const match = text === undefined ? null : form.exec(text);
  if (match === null) return undefined;
  const [, version, traceId = "", spanId = "", flags = "", rest] = match;
  if (version === invalidVersion || traceId === noTrace || spanId === noSpan) return undefined;
  // Later versions may have more fields; this one has none.
  if (version === "00" && rest !== undefined) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & sampledFlag) !== 0 };
}

export type AttributeValue = string | number | boolean;
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** OTLP's numbers of the kinds of spans. */
export const SpanKind = { internal: 1, server: 2, client: 3 } as const;
export type SpanKind = (typeof SpanKind)[keyof typeof SpanKind];

interface SpanEvent {
  readonly name: string;
  readonly atMillis: number;
  readonly attributes: Attributes;
}

/** A span that has ended. Times are Unix milliseconds with fractions. */
export interface FinishedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Undefined: the first of its trace. */
  readonly parentId: string | undefined;
  readonly name: string;
  readonly kind: SpanKind;
  readonly beganAt: number;
  readonly endedAt: number;
  readonly attributes: Attributes;
  readonly events: readonly SpanEvent[];
  /** Why it failed; undefined: it did not. */
  readonly error: string | undefined;
}

/** What a tracer needs of its process. */
export interface TracerOptions {
  /** 0..1: how many of the requests that come without a `traceparent` are traced. */
  readonly sample: number;
  /** Takes each span that has ended; must be quick and must not throw. */
  readonly sink: (span: FinishedSpan) => void;
  /** Unix milliseconds with fractions. */
  readonly now: () => number;
  /** So many random bytes in hexadecimal. */
  readonly randomHex: (bytes: number) => string;
  /** Uniform in 0..1. */
  readonly random: () => number;
}

const traceIdBytes = 16;
const spanIdBytes = 8;

/** Makes the spans of one process. */
export class Tracer {
  readonly options: TracerOptions;
  /**
   * What a request that this tracer chose not to trace carries on, so that no process behind this
   * one chooses again; undefined: this one leaves the choice to them.
   */
  readonly untraced: string | undefined;

  constructor(options: TracerOptions) {
    this.options = options;
    const { randomHex, sample } = options;
    this.untraced =
      sample > 0 ? `00-${randomHex(traceIdBytes)}-${randomHex(spanIdBytes)}-00` : undefined;
  }

  /**
   * The span of a request that came with this field. Undefined: it is not traced, for its sender
   * said so, or there is no word of the sender and chance did not choose it.
   */
  request(name: string, traceparent: string | undefined, kind: SpanKind): Span | undefined {
    const parent = parseTraceparent(traceparent);
    if (parent !== undefined) {
      return parent.sampled ? this.#begin(name, kind, parent.traceId, parent.spanId) : undefined;
    }
    const { sample, random, randomHex } = this.options;
    if (sample <= 0 || random() >= sample) return undefined;
    return this.#begin(name, kind, randomHex(traceIdBytes), undefined);
  }

  #begin(name: string, kind: SpanKind, traceId: string, parentId: string | undefined): Span {
    return new Span(this.options, { name, kind, traceId, parentId });
  }
}

interface SpanStart {
  readonly name: string;
  readonly kind: SpanKind;
  readonly traceId: string;
  readonly parentId: string | undefined;
}

/** Events of one span that are kept. */
const eventsMax = 64;

/** A piece of work of a traced request. */
export class Span {
  readonly #options: TracerOptions;
  readonly #start: SpanStart;
  readonly #spanId: string;
  readonly #beganAt: number;
  readonly #attributes: Record<string, AttributeValue> = {};
  #events: SpanEvent[] = [];
  #ended = false;

  constructor(options: TracerOptions, start: SpanStart, beganAt = options.now()) {
    this.#options = options;
    this.#start = start;
    this.#spanId = options.randomHex(spanIdBytes);
    this.#beganAt = beganAt;
  }

  /** What a request carries that is sent for this span. */
  get traceparent(): string {
    return `00-${this.#start.traceId}-${this.#spanId}-01`;
  }

  set(key: string, value: AttributeValue | undefined): void {
    if (value !== undefined) this.#attributes[key] = value;
  }

  /** Something that happened at a moment. */
  event(name: string, attributes: Attributes = {}): void {
    if (this.#events.length >= eventsMax) return;
    this.#events.push({ name, atMillis: this.#options.now(), attributes });
  }

  child(name: string, kind: SpanKind = SpanKind.internal): Span {
    return new Span(this.#options, this.#below(name, kind));
  }

  /** A piece of work that another thread has done and timed. */
  record(
    name: string,
    { beganAt, endedAt }: Pick<FinishedSpan, "beganAt" | "endedAt">,
    attributes: Attributes,
  ): void {
    const span = new Span(this.#options, this.#below(name, SpanKind.internal), beganAt);
    for (const [key, value] of Object.entries(attributes)) span.set(key, value);
    span.#finish(endedAt, undefined);
  }

  /** The first call alone has an effect. `error`: why the work failed. */
  end(error?: string): void {
    this.#finish(this.#options.now(), error);
  }

  #below(name: string, kind: SpanKind): SpanStart {
    return { name, kind, traceId: this.#start.traceId, parentId: this.#spanId };
  }

  #finish(endedAt: number, error: string | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#options.sink({
      ...this.#start,
      spanId: this.#spanId,
      beganAt: this.#beganAt,
      endedAt,
      attributes: this.#attributes,
      events: this.#events,
      error,
    });
  }
}

/** What belongs to a traced request: its span here, and what it came with. */
export interface Traced {
  /** Undefined: the request is not traced here. */
  readonly span?: Span | undefined;
  /** The first value of a field of the request. */
  readonly source?: { header(name: string): string | undefined } | undefined;
}

/** What a request carries that is sent on behalf of another one. */
export function traceparentOf(traced: Traced | undefined): string | undefined {
  return traced?.span?.traceparent ?? traced?.source?.header(traceparentHeader);
}

/** Does the work in a span below that of the request, if it has one. */
export async function inSpan<T>(
  { span }: Traced,
  name: string,
  work: (child: Span | undefined) => T | Promise<T>,
  kind: SpanKind = SpanKind.internal,
): Promise<T> {
  if (span === undefined) return work(undefined);
  const child = span.child(name, kind);
  // In a promise, so that what is thrown at once ends the span as well.
  return ending(child, Promise.resolve(child).then(work));
}

/** The span ends with the work that it stands for. */
export async function ending<T>(span: Span, work: T | Promise<T>): Promise<T> {
  try {
    const result = await work;
    span.end();
    return result;
  } catch (thrown) {
    span.end(thrown instanceof Error ? thrown.message : String(thrown));
    throw thrown;
  }
}
