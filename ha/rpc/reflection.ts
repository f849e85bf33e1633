/**
 * gRPC server reflection, v1 and v1alpha (grpc/grpc `doc/server-reflection.md`): lets grpcurl and
 * its like call a server whose contracts they do not have. It tells of the services of its own
 * server and of what those need, no more.
 */
import {
  ServerReflectionService as ReflectionV1,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from "../../proto/gen/reflection_v1.ts";
import { ServerReflectionService as ReflectionV1Alpha } from "../../proto/gen/reflection_v1alpha.ts";
import { Code } from "../runtime/status-error.ts";
import { type DescriptorFile, type DescriptorIndex, protoDescriptors } from "./descriptors.ts";
import { bidiStream } from "./handlers.ts";
import type { RpcServer } from "./types.ts";

type Answer = NonNullable<ServerReflectionResponse["messageResponse"]>;

/** Both versions; services that are added later are told of as well. */
export function addReflection(server: RpcServer): void {
  const handler = bidiStream((requests: AsyncIterable<ServerReflectionRequest>) =>
    reflect(requests, server),
  );
  server.addService(ReflectionV1, { serverReflectionInfo: handler });
  // The two versions differ in their package name only.
  server.addService(ReflectionV1Alpha, { serverReflectionInfo: handler });
}

async function* reflect(
  requests: AsyncIterable<ServerReflectionRequest>,
  server: RpcServer,
): AsyncGenerator<ServerReflectionResponse, void> {
  const view = new ReflectedView(protoDescriptors(), server.services);
  for await (const request of requests) {
    yield {
      validHost: request.host ?? "",
      originalRequest: request,
      messageResponse: view.answer(request),
    };
  }
}

/** The files that one stream may see, and those that it has been sent. */
class ReflectedView {
  readonly #index: DescriptorIndex;
  readonly #services: readonly string[];
  readonly #visible: ReadonlySet<DescriptorFile>;
  readonly #sent = new Set<DescriptorFile>();

  constructor(index: DescriptorIndex, services: readonly string[]) {
    this.#index = index;
    this.#services = services;
    const roots = services.map((name) => index.symbol(name)).filter((file) => file !== undefined);
    this.#visible = index.closure(roots);
  }

  answer(request: ServerReflectionRequest): Answer {
    const asked = request.messageRequest;
    switch (asked?.$case) {
      case "listServices": {
        const service = [...this.#services].sort().map((name) => ({ name }));
        return { $case: "listServicesResponse", value: { service } };
      }
      case "fileByFilename":
        return this.#files(this.#index.file(asked.value), `file "${asked.value}"`);
      case "fileContainingSymbol":
        return this.#files(this.#index.symbol(asked.value), `symbol "${asked.value}"`);
      case "fileContainingExtension": {
        const { containingType = "", extensionNumber = 0 } = asked.value;
        const file = this.#index.extension(containingType, extensionNumber);
        return this.#files(file, `extension ${extensionNumber} of "${containingType}"`);
      }
      case "allExtensionNumbersOfType":
        return this.#extensionNumbers(asked.value);
      default:
        return failure(Code.invalidArgument, "message_request: none of its fields is set");
    }
  }

  /** The file, then those it imports that the stream has not been sent yet. */
  #files(file: DescriptorFile | undefined, what: string): Answer {
    if (file === undefined || !this.#visible.has(file)) {
      return failure(Code.notFound, `${what} is not known here`);
    }
    const fileDescriptorProto: Buffer[] = [];
    for (const reached of this.#index.closure([file])) {
      if (reached !== file && this.#sent.has(reached)) continue;
      this.#sent.add(reached);
      fileDescriptorProto.push(reached.bytes);
    }
    return { $case: "fileDescriptorResponse", value: { fileDescriptorProto } };
  }

  #extensionNumbers(message: string): Answer {
    const defining = this.#index.symbol(message);
    if (defining === undefined || !this.#visible.has(defining)) {
      return failure(Code.notFound, `message "${message}" is not known here`);
    }
    const visible = (number: number) => {
      const file = this.#index.extension(message, number);
      return file !== undefined && this.#visible.has(file);
    };
    const extensionNumber = this.#index.extensionNumbers(message).filter(visible);
    return {
      $case: "allExtensionNumbersResponse",
      value: { baseTypeName: message, extensionNumber },
    };
  }
}

function failure(errorCode: number, errorMessage: string): Answer {
  return { $case: "errorResponse", value: { errorCode, errorMessage } };
}
