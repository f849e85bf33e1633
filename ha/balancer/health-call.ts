/**
 * `grpc.health.v1.Health` for the balancer itself: the services "" (some master is ready) and
 * "trireme.balancer" (it takes calls). Other services are the masters' affair.
 */
import { HealthCheckRequest, HealthCheckResponse } from "../../proto/gen/health.ts";
import { type HealthRegistry, ServingStatus } from "../rpc/health.ts";
import { Code } from "../runtime/status-error.ts";
import { bytesOf, type Piece, type RequestSoFar } from "./balanced-call.ts";
import type { ActiveCall, CallContext } from "./call-context.ts";
import type { IncomingCall, IncomingHandlers } from "./calls.ts";
import { errorTrailers, okTrailers } from "./replies.ts";
import { ReplyFields } from "./reply-fields.ts";

const checkPath = "/grpc.health.v1.Health/Check";
const watchPath = "/grpc.health.v1.Health/Watch";

/** The name of the balancer as a service. */
export const ownService = "trireme.balancer";

const replyHead = new ReplyFields(["content-type", "application/grpc"]);

/** A request for health names a service; nothing longer than this is one. */
const requestBytesMax = 4_096;

export function isHealthPath(path: string): boolean {
  return path === checkPath || path === watchPath;
}

export class HealthCall implements IncomingHandlers, ActiveCall {
  readonly #call: IncomingCall;
  readonly #context: CallContext;
  readonly #registry: HealthRegistry;
  readonly #forward: (request: RequestSoFar) => void;
  readonly #pieces: Piece[] = [];
  #bytes = 0;
  #service: string | undefined;
  #sent: ServingStatus | undefined;
  place = -1;
  #timer: NodeJS.Timeout;
  #room = true;
  #stop = () => {};

  /** `forward` takes over a call that is not about the balancer. */
  constructor(
    call: IncomingCall,
    context: CallContext,
    registry: HealthRegistry,
    forward: (request: RequestSoFar) => void,
  ) {
    this.#call = call;
    this.#context = context;
    this.#registry = registry;
    this.#forward = forward;
    this.#timer = setTimeout(
      () => this.#finish(Code.deadlineExceeded, "the request was not complete in time"),
      context.limits.requestBodyMillis,
    );
    context.active.add(this);
    call.handle(this);
  }

  data(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (this.#service !== undefined) return;
    this.#pieces.push({ bytes, start, end });
    this.#bytes += end - start;
    if (this.#bytes > requestBytesMax) this.#handOver(last);
    else if (last) this.#answer();
  }

  #answer(): void {
    const service = serviceOf(Buffer.concat(this.#pieces.map(bytesOf)));
    if (service === undefined || this.#registry.get(service) === undefined) {
      this.#handOver(true);
      return;
    }
    this.#service = service;
    clearTimeout(this.#timer);
    this.#call.sendHeaders(replyHead);
    this.#report();
    if (this.#call.head.route.path === checkPath) this.#finish();
    else this.#stop = this.#registry.watch(service, () => this.#report());
  }

  drain(): void {
    this.#room = true;
    this.#report();
  }

  cancelled(): void {
    this.#release();
  }

  shutDown(message: string): void {
    this.#finish(Code.unavailable, message);
  }

  /** The balancer itself answers. */
  suspected(): void {}

  /** The status as it is now, if the client has room and has not been told; in a drain the last. */
  #report(): void {
    const status = this.#registry.get(this.#service ?? "") ?? ServingStatus.SERVICE_UNKNOWN;
    if (!this.#room || this.#service === undefined) return;
    if (status !== this.#sent) this.#send(status);
    if (this.#registry.over && this.#room) this.#finish();
  }

  #send(status: ServingStatus): void {
    this.#sent = status;
    const message = HealthCheckResponse.encode({ status }).finish();
    const frame = Buffer.alloc(5 + message.length);
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, 5);
    this.#room = this.#call.write(frame, 0, frame.length);
  }

  #handOver(ended: boolean): void {
    this.#release();
    this.#forward({ pieces: this.#pieces, ended });
  }

  #finish(code: Code = Code.ok, message = ""): void {
    if (!this.#context.active.has(this)) return;
    this.#release();
    this.#call.finish(code === Code.ok ? okTrailers : errorTrailers(code, message));
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#stop();
    this.#context.active.delete(this);
  }
}

/** Undefined for anything but one uncompressed message. */
function serviceOf(body: Buffer): string | undefined {
  if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) {
    return undefined;
  }
  try {
    return HealthCheckRequest.decode(body.subarray(5)).service ?? "";
  } catch {
    // Not ours to judge: a master will say what is wrong with it.
    return undefined;
  }
}
