/**
 * `grpc.testing.TestService`, as the interop cases want a server to behave (grpc/grpc
 * `doc/interop-test-descriptions.md`), on handlers of grpc-js's shape.
 */
import {
  Metadata,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import {
  type Answer,
  decodeInputRequest,
  decodeOutputRequest,
  decodeSimpleRequest,
  type Empty,
  encodeAnswer,
  encodeSum,
  type Wanted,
} from "./messages.ts";

const initialKey = "x-grpc-test-echo-initial";
const trailingKey = "x-grpc-test-echo-trailing-bin";

type Decode = (bytes: Buffer) => unknown;

function method<Response>(
  name: string,
  [requestStream, responseStream]: readonly [boolean, boolean],
  requestDeserialize: Decode,
  responseSerialize: (response: Response) => Buffer,
) {
  return {
    path: `/grpc.testing.TestService/${name}`,
    requestStream,
    responseStream,
    requestDeserialize,
    responseSerialize,
    // The client's half: only real clients call this service.
    requestSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
  };
}

const one = [false, false] as const;
const empty: Empty = {};

/** Without UnimplementedCall and HalfDuplexCall: the first must be missing, the other is unused. */
export const testService: ServiceDefinition = {
  emptyCall: method(
    "EmptyCall",
    one,
    () => empty,
    () => Buffer.of(),
  ),
  unaryCall: method("UnaryCall", one, decodeSimpleRequest, encodeAnswer),
  streamingOutputCall: method(
    "StreamingOutputCall",
    [false, true],
    decodeOutputRequest,
    encodeAnswer,
  ),
  streamingInputCall: method("StreamingInputCall", [true, false], decodeInputRequest, encodeSum),
  fullDuplexCall: method("FullDuplexCall", [true, true], decodeOutputRequest, encodeAnswer),
};

interface Echoed {
  readonly initial: Metadata | undefined;
  readonly trailing: Metadata | undefined;
}

function echoed(metadata: Metadata): Echoed {
  const only = (key: string) => {
    const [value] = metadata.get(key);
    if (value === undefined) return undefined;
    const copy = new Metadata();
    copy.set(key, value);
    return copy;
  };
  return { initial: only(initialKey), trailing: only(trailingKey) };
}

function unaryCall(call: ServerUnaryCall<Wanted, Answer>, reply: sendUnaryData<Answer>): void {
  const { initial, trailing } = echoed(call.metadata);
  if (initial !== undefined) call.sendMetadata(initial);
  const { status, responseSize, fillServerId } = call.request;
  if (status !== undefined) {
    reply({ code: status.code, details: status.message });
    return;
  }
  const serverId = fillServerId ? "trireme" : undefined;
  reply(null, { payloadBytes: responseSize, serverId }, trailing);
}

function streamingOutputCall(call: ServerWritableStream<Wanted, Answer>): void {
  for (const payloadBytes of call.request.responseSizes) call.write({ payloadBytes });
  call.end();
}

function streamingInputCall(
  call: ServerReadableStream<number, number>,
  reply: sendUnaryData<number>,
): void {
  let sum = 0;
  call.on("data", (bytes: number) => {
    sum += bytes;
  });
  call.on("end", () => reply(null, sum));
}

function fullDuplexCall(call: ServerDuplexStream<Wanted, Answer>): void {
  const { initial, trailing } = echoed(call.metadata);
  if (initial !== undefined) call.sendMetadata(initial);
  call.on("data", ({ status, responseSizes }: Wanted) => {
    if (status !== undefined) {
      call.emit("error", { code: status.code, details: status.message });
      return;
    }
    for (const payloadBytes of responseSizes) call.write({ payloadBytes });
  });
  call.on("end", () => call.end(trailing));
}

export const testHandlers: UntypedServiceImplementation = {
  emptyCall: (_: unknown, reply: sendUnaryData<Empty>) => reply(null, empty),
  unaryCall,
  streamingOutputCall,
  streamingInputCall,
  fullDuplexCall,
};
