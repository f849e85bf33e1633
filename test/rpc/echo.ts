/** A service with one method of each kind, carrying raw bytes; for tests only. */
import {
  type CallOptions,
  type ChannelCredentials,
  type Client,
  type ClientDuplexStream,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  type Metadata,
  makeGenericClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";

const bytes = (value: Buffer) => value;

const method = <Path extends string>(
  path: Path,
  requestStream: boolean,
  responseStream: boolean,
) => ({
  path,
  requestStream,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});

export const EchoService = {
  say: method("/test.Echo/Say", false, false),
  collect: method("/test.Echo/Collect", true, false),
  repeat: method("/test.Echo/Repeat", false, true),
  chat: method("/test.Echo/Chat", true, true),
};

type Reply = (error: ServiceError | null, response: Buffer) => void;

export interface EchoClient extends Client {
  say(
    request: Buffer,
    metadata: Metadata,
    options: Partial<CallOptions>,
    callback: Reply,
  ): ClientUnaryCall;
  collect(
    metadata: Metadata,
    options: Partial<CallOptions>,
    reply: Reply,
  ): ClientWritableStream<Buffer>;
  repeat(
    request: Buffer,
    metadata?: Metadata,
    options?: Partial<CallOptions>,
  ): ClientReadableStream<Buffer>;
  chat(metadata?: Metadata, options?: Partial<CallOptions>): ClientDuplexStream<Buffer, Buffer>;
}

export const EchoClient = makeGenericClientConstructor(EchoService, "test.Echo") as unknown as {
  new (
    address: string,
    credentials: ChannelCredentials,
    options?: Partial<ClientOptions>,
  ): EchoClient;
};
