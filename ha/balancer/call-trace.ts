/** The spans of one call: one for the relay, and below it one for each attempt on a master. */
import { type Span, SpanKind, type Tracer } from "../runtime/trace.ts";
import type { Failure, RequestHead } from "./calls.ts";
import type { ReplyFields } from "./reply-fields.ts";

export class CallTrace {
  readonly #relay: Span;
  #attempt: Span | undefined;
  #failure: string | undefined;

  private constructor(relay: Span) {
    this.#relay = relay;
  }

  /** Undefined: the call is not traced. */
  static of(tracer: Tracer, { route, traceparent }: RequestHead): CallTrace | undefined {
    const relay = tracer.request("balancer relay", traceparent, SpanKind.server);
    if (relay === undefined) return undefined;
    relay.set("trireme.protocol", route.link);
    // The query may carry what the client would keep to itself.
    relay.set("url.path", route.path.split("?", 1)[0]);
    return new CallTrace(relay);
  }

  /** What the present attempt sends along. */
  get traceparent(): string {
    return (this.#attempt ?? this.#relay).traceparent;
  }

  attempt(master: string, number: number): void {
    this.#failure = undefined;
    this.#attempt = this.#relay.child("balancer attempt", SpanKind.client);
    this.#attempt.set("trireme.master", master);
    this.#attempt.set("trireme.attempt", number);
    this.#relay.set("trireme.master", master);
    this.#relay.set("trireme.attempts", number);
  }

  attemptAnswered(end: ReplyFields): void {
    const { grpcStatus, httpStatus, repeatable } = end;
    this.#attempt?.set("rpc.grpc.status_code", grpcStatus);
    this.#attempt?.set("http.response.status_code", httpStatus);
    if (repeatable) this.#failure = "the master answered that it had done nothing";
  }

  attemptFailed({ kind, scope }: Failure): void {
    this.#failure = `the ${scope} was ${kind}`;
  }

  attemptSuspected(): void {
    this.#failure = "the master did not answer its probe, and the attempt was given up";
  }

  attemptOver(): void {
    this.#attempt?.end(this.#failure);
    this.#attempt = undefined;
  }

  /** The answer that the client gets. */
  answered({ grpcStatus, httpStatus }: ReplyFields): void {
    this.#relay.set("rpc.grpc.status_code", grpcStatus);
    this.#relay.set("http.response.status_code", httpStatus);
  }

  end(error: string | undefined): void {
    this.#relay.end(error);
  }
}
