/**
 * The way from a simulated process to the apiservers: seeded latency, lost answers, broken streams,
 * members that die with a call. Repeats calls by the rules of services/client/transport.ts.
 */
import { Metadata, type MethodDefinition, type ServiceError } from "@grpc/grpc-js";
import { cancelledError } from "../../../ha/rpc/status-details.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import type { Clock } from "../../../ha/runtime/types.ts";
import {
  type BindingBatch,
  type BindingOutcomes,
  type Pod,
  PodsService,
  type Binding as WireBinding,
} from "../../../proto/gen/core.ts";
import type { DeleteRequest } from "../../../proto/gen/meta.ts";
import { failureOf } from "../../../services/client/grpc-js-wire.ts";
import {
  Backoff,
  type CallOptions,
  type ClientTransport,
  type Duplex,
  sleep,
  type UnaryOptions,
} from "../../../services/client/mod.ts";
import { isRepeatable } from "../../../services/client/retryable.ts";
import {
  clientError,
  InProcessCall,
  type InProcessServer,
  InProcessStream,
  metadataOf,
  type Subject,
} from "../../client/in-process.ts";
import { between, type Chance } from "../chance.ts";
import type { Seat } from "../cluster.ts";
import type { Evidence } from "./evidence.ts";
import type { Masters } from "./masters.ts";
import type { SimulatedProcess } from "./process.ts";

const callMillis = 10_000;
const latencyMillis = [1, 6] as const;
/** While `trouble` is true, one call in so many loses its answer, one event in so many its stream. */
const lostAnswers = 60;
const brokenStreams = 150;
/**
 * One binding in so many is so long on its way that another scheduler may lead when it arrives: it
 * must then change nothing.
 */
const lateBindings = 8;
const lateMillis = [1_000, 7_000] as const;

export interface Weather {
  /** Connections break now and then. */
  trouble: boolean;
}

interface Options {
  readonly masters: Masters;
  readonly process: SimulatedProcess;
  readonly subject: Subject;
  readonly chance: Chance;
  readonly evidence: Evidence;
  readonly weather: Weather;
}

export class SimulatedTransport implements ClientTransport {
  readonly #options: Options;
  #current: number;
  #requests = 0;

  constructor(options: Options) {
    this.#options = options;
    this.#current = options.chance.below(options.masters.cluster.seats.length);
  }

  async unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: UnaryOptions = {},
  ): Promise<Response> {
    const { evidence, process } = this.#options;
    const { clock } = process;
    const deadline = clock.monotonicMillis() + (options.timeoutMillis ?? callMillis);
    const backoff = new Backoff(20, 500);
    const id = options.write ? `${process.name}-${++this.#requests}` : undefined;
    const acknowledge = this.#note(method.path, request);
    for (let attempt = 1; ; attempt++) {
      evidence.calls++;
      const index = this.#current;
      try {
        const metadata = metadataOf(options, id, attempt);
        const answer = await this.#once(method, request, metadata, deadline, options.signal);
        acknowledge(answer);
        return answer;
      } catch (thrown) {
        if (options.signal?.aborted) throw cancelledError();
        const error = thrown as ServiceError;
        const wait = backoff.next() * (1 + this.#options.chance.below(100) / 100);
        const repeat = !options.write || isRepeatable(failureOf(error));
        const late = clock.monotonicMillis() + wait >= deadline;
        if (error.code !== Code.unavailable || !repeat || late) throw clientError(thrown);
        this.#leave(index);
        evidence.repeats++;
        await sleep(clock, wait, options.signal);
        if (options.signal?.aborted) throw cancelledError();
      }
    }
  }

  async *stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): AsyncGenerator<Response, void, undefined> {
    const { chance, process, weather } = this.#options;
    const index = this.#current;
    const call = new InProcessStream(
      method.path,
      this.#options.subject,
      metadataOf({}, undefined, 1),
    );
    const undo: (() => void)[] = [];
    try {
      const [seat, server] = this.#master(index);
      const gone = () => call.break(lost(`${seat.peer.name} is gone`));
      seat.gone.add(gone);
      undo.push(() => seat.gone.delete(gone));
      const cancel = () => call.cancel();
      undo.push(process.whenKilled(cancel));
      options.signal?.addEventListener("abort", cancel, { once: true });
      undo.push(() => options.signal?.removeEventListener("abort", cancel));
      await this.#travel(process.clock);
      for await (const message of server.stream(method, request, call)) {
        await this.#travel(process.clock);
        if (weather.trouble && chance.below(brokenStreams) === 0) throw lost("the stream broke");
        yield message;
      }
    } catch (thrown) {
      if (options.signal?.aborted) throw cancelledError();
      const error = clientError(thrown);
      if (error.code === Code.unavailable) this.#leave(index);
      throw error;
    } finally {
      for (const each of undo) each();
      call.cancel();
    }
  }

  duplex<Request, Response>(): Promise<Duplex<Request, Response>> {
    return Promise.reject(new StatusError(Code.unimplemented, "no heartbeats in the simulation"));
  }

  close(): void {}

  /** One attempt; rejects with the error as the wire carries it. */
  #once<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    metadata: Metadata,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const { chance, process, subject, weather } = this.#options;
    const [seat, server] = this.#master(this.#current);
    const call = new InProcessCall(method.path, subject, metadata);
    return new Promise((resolve, reject) => {
      let settled = false;
      const undo: (() => void)[] = [];
      const settle = (run: () => void) => {
        if (settled) return;
        settled = true;
        for (const each of undo) each();
        void this.#travel(process.clock).then(run);
      };
      const gone = () => settle(() => reject(lost(`${seat.peer.name} is gone`)));
      seat.gone.add(gone);
      undo.push(() => seat.gone.delete(gone));
      const leave = (error: Error) => {
        call.cancel();
        settle(() => reject(error));
      };
      const left = Math.max(1, deadline - process.clock.monotonicMillis());
      undo.push(
        process.clock.after(left, () =>
          leave(new StatusError(Code.deadlineExceeded, "the deadline of the call has passed")),
        ),
      );
      const abort = () => leave(cancelledError());
      signal?.addEventListener("abort", abort, { once: true });
      undo.push(() => signal?.removeEventListener("abort", abort));
      // On the member's own clock: a paused member serves nothing, a dead one never does.
      const late = weather.trouble && isBinding(method.path) && chance.below(lateBindings) === 0;
      const way = late ? lateMillis : latencyMillis;
      void this.#travel(seat.runtime?.clock ?? process.clock, way).then(() => {
        // A request of a process that was killed meanwhile arrives all the same.
        if (settled && process.alive) return;
        const answerLost = weather.trouble && chance.below(lostAnswers) === 0;
        server.unary(method, request, call).then(
          (answer) => settle(() => (answerLost ? reject(lost("reset")) : resolve(answer))),
          (error: Error) => settle(() => reject(error)),
        );
      });
    });
  }

  #master(index: number): [Seat, InProcessServer] {
    const { masters } = this.#options;
    const seat = masters.cluster.seats[index] as Seat;
    const server = masters.of(seat);
    if (server === undefined) {
      this.#leave(index);
      throw lost(`no connection to ${seat.peer.name}`);
    }
    return [seat, server];
  }

  #leave(index: number): void {
    if (index !== this.#current) return;
    this.#current = (index + 1) % this.#options.masters.cluster.seats.length;
  }

  #travel(
    clock: Pick<Clock, "after">,
    [min, max]: readonly [number, number] = latencyMillis,
  ): Promise<void> {
    const millis = between(this.#options.chance, min, max);
    return new Promise((resolve) => clock.after(millis, resolve));
  }

  /** Writes down what is asked for; the answer is called with what was acknowledged. */
  #note(path: string, request: unknown): (answer: unknown) => void {
    const { evidence, process } = this.#options;
    if (path === PodsService.delete.path) {
      const { namespace, name } = request as DeleteRequest;
      evidence.deletionsAsked.add(`${namespace}/${name}`);
    }
    if (path === PodsService.create.path) {
      return (answer) => {
        const { uid = "", namespace, name } = (answer as Pod).metadata ?? {};
        evidence.created.set(uid, `${namespace}/${name}`);
      };
    }
    if (!isBinding(path)) return () => {};
    const alone = path === PodsService.bind.path;
    const { items = [] } = alone ? { items: [request as WireBinding] } : (request as BindingBatch);
    const bindings = items.map(({ metadata, target }) => ({
      pod: `${metadata?.namespace}/${metadata?.name}`,
      uid: metadata?.uid ?? "",
      node: target?.name ?? "",
      caller: process.name,
      acknowledged: false,
    }));
    evidence.bindings.push(...bindings);
    if (bindings.length > 1) evidence.batches++;
    return (answer) => {
      const outcomes = alone ? [{ status: "Success" }] : ((answer as BindingOutcomes).items ?? []);
      for (const [index, binding] of bindings.entries()) {
        binding.acknowledged = outcomes[index]?.status === "Success";
      }
    };
  }
}

function isBinding(path: string): boolean {
  return path === PodsService.bind.path || path === PodsService.bindAll.path;
}

/** A connection that broke: no trailers came. */
function lost(details: string): ServiceError {
  const fields = { code: Code.unavailable, details, metadata: new Metadata() };
  return Object.assign(new Error(details), fields);
}
