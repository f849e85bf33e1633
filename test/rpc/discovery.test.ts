import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import {
  addHealth,
  addReflection,
  call,
  connect,
  createRpcServer,
  HealthRegistry,
  ServingStatus,
  serverStreamIterable,
} from "../../ha/rpc/mod.ts";
import { Code } from "../../ha/runtime/status-error.ts";
import { FileDescriptorProto } from "../../proto/gen/google/protobuf/descriptor.ts";
import { HealthClient } from "../../proto/gen/health.ts";
import {
  ServerReflectionClient,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from "../../proto/gen/reflection_v1.ts";
import { ServerReflectionClient as AlphaClient } from "../../proto/gen/reflection_v1alpha.ts";
import { memoryLog } from "./helpers.ts";

const registry = new HealthRegistry();
const server = createRpcServer({ log: memoryLog() });
let address = "";

before(async () => {
  registry.set("", ServingStatus.SERVING);
  addHealth(server, registry);
  addReflection(server);
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  address = `127.0.0.1:${port}`;
});
after(() => server.close());

describe("health", () => {
  test("checks", async () => {
    const client = connect(HealthClient, { addresses: [address] });
    assert.deepEqual(await call(client, "check", {}), { status: ServingStatus.SERVING });
    await assert.rejects(call(client, "check", { service: "nope" }), { code: Code.notFound });
    client.close();
  });

  test("watches, also a service that is not there yet", async () => {
    const client = connect(HealthClient, { addresses: [address] });
    const stream = serverStreamIterable(client, "watch", { service: "late" });
    const next = async () => {
      const step = await stream.next();
      return step.done ? undefined : step.value.status;
    };
    assert.equal(await next(), ServingStatus.SERVICE_UNKNOWN);
    registry.set("late", ServingStatus.SERVING);
    assert.equal(await next(), ServingStatus.SERVING);
    registry.shutDown();
    assert.equal(await next(), ServingStatus.NOT_SERVING);
    await stream.return();
    client.close();
  });
});

type Ask = NonNullable<ServerReflectionRequest["messageRequest"]>;

async function ask(asked: readonly Ask[]): Promise<ServerReflectionResponse[]> {
  const client = connect(ServerReflectionClient, { addresses: [address] });
  const stream = client.serverReflectionInfo();
  for (const messageRequest of asked) stream.write({ host: "h", messageRequest });
  stream.end();
  const answers: ServerReflectionResponse[] = [];
  for await (const answer of stream) answers.push(answer as ServerReflectionResponse);
  client.close();
  return answers;
}

function filesOf(answer: ServerReflectionResponse | undefined): string[] {
  const response = answer?.messageResponse;
  assert.equal(response?.$case, "fileDescriptorResponse");
  if (response?.$case !== "fileDescriptorResponse") return [];
  const files = response.value.fileDescriptorProto ?? [];
  return files.map((bytes) => FileDescriptorProto.decode(bytes).name ?? "");
}

describe("reflection", () => {
  test("lists the services of this server only", async () => {
    const [answer] = await ask([{ $case: "listServices", value: "" }]);
    assert.equal(answer?.validHost, "h");
    assert.deepEqual(answer?.messageResponse, {
      $case: "listServicesResponse",
      value: {
        service: [
          { name: "grpc.health.v1.Health" },
          { name: "grpc.reflection.v1.ServerReflection" },
          { name: "grpc.reflection.v1alpha.ServerReflection" },
        ],
      },
    });
  });

  test("finds files by symbol of every sort and by name", async () => {
    const answers = await ask([
      { $case: "fileContainingSymbol", value: "grpc.health.v1.Health" },
      { $case: "fileContainingSymbol", value: "grpc.health.v1.Health.Check" },
      { $case: "fileContainingSymbol", value: ".grpc.health.v1.HealthCheckResponse.ServingStatus" },
      { $case: "fileContainingSymbol", value: "grpc.health.v1.HealthCheckRequest.service" },
      { $case: "fileByFilename", value: "grpc/health/v1/health.proto" },
    ]);
    assert.deepEqual(answers.map(filesOf), Array(5).fill(["grpc/health/v1/health.proto"]));
  });

  test("hides what its services do not need, and names what it does not know", async () => {
    const answers = await ask([
      { $case: "fileContainingSymbol", value: "trireme.coordination.v1.Leases" },
      { $case: "fileByFilename", value: "trireme/raft/v1/raft.proto" },
      { $case: "allExtensionNumbersOfType", value: "google.protobuf.FieldOptions" },
      {
        $case: "fileContainingExtension",
        value: { containingType: "google.protobuf.FieldOptions", extensionNumber: 1 },
      },
    ]);
    for (const answer of answers) {
      const response = answer.messageResponse;
      assert.equal(response?.$case, "errorResponse");
      assert.equal(response?.$case === "errorResponse" && response.value.errorCode, Code.notFound);
    }
  });

  test("speaks v1alpha", async () => {
    const client = connect(AlphaClient, { addresses: [address] });
    const stream = client.serverReflectionInfo();
    stream.end({
      messageRequest: { $case: "fileByFilename", value: "grpc/health/v1/health.proto" },
    });
    const answers: ServerReflectionResponse[] = [];
    for await (const answer of stream) answers.push(answer as ServerReflectionResponse);
    assert.deepEqual(answers.map(filesOf), [["grpc/health/v1/health.proto"]]);
    client.close();
  });
});
