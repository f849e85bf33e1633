/** A client's transport over functions in this process. */
import type { MethodDefinition } from "@grpc/grpc-js";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type {
  CallOptions,
  ClientTransport,
  Duplex,
  UnaryOptions,
} from "../../services/client/mod.ts";

type Unary = <Request, Response>(
  method: MethodDefinition<Request, Response>,
  request: Request,
  options: UnaryOptions,
) => Promise<Response>;

type Stream = <Request, Response>(
  method: MethodDefinition<Request, Response>,
  request: Request,
  options: CallOptions,
) => AsyncIterable<Response>;

/** Without streams where none are given; nothing is duplex. */
export class DirectTransport implements ClientTransport {
  readonly watchesJson = true;
  readonly #unary: Unary;
  readonly #stream: Stream | undefined;

  constructor(unary: Unary, stream?: Stream) {
    this.#unary = unary;
    this.#stream = stream;
  }

  unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: UnaryOptions = {},
  ): Promise<Response> {
    return this.#unary(method, request, options);
  }

  stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ): AsyncIterable<Response> {
    if (this.#stream === undefined) throw new StatusError(Code.unimplemented, "no streams here");
    return this.#stream(method, request, options);
  }

  duplex<Request, Response>(): Promise<Duplex<Request, Response>> {
    return Promise.reject(new StatusError(Code.unimplemented, "no duplex calls here"));
  }

  close(): void {}
}
