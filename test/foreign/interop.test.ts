/**
 * gRPC's interop cases (grpc/grpc `doc/interop-test-descriptions.md`), driven by grpc-go's interop
 * client against both engines, in plaintext and over TLS. That client has no cases of compression:
 * those are driven by grpc-js's client.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import {
  type ChannelOptions,
  Client,
  compressionAlgorithms,
  credentials,
  type ServiceError,
} from "@grpc/grpc-js";
import { createRpcServer, type RpcEngine, type RpcServer } from "../../ha/rpc/mod.ts";
import { createCa, type Pem } from "../rpc/certs.ts";
import { memoryLog } from "../rpc/helpers.ts";
import { encodeAnswer, encodeSimpleRequest } from "./interop/messages.ts";
import { testHandlers, testService } from "./interop/service.ts";
import { needsBuilt } from "./needs.ts";

const program = "grpc-interop-client";
const cases = [
  "empty_unary",
  "large_unary",
  "client_streaming",
  "server_streaming",
  "ping_pong",
  "empty_stream",
  "timeout_on_sleeping_server",
  "cancel_after_begin",
  "cancel_after_first_response",
  "custom_metadata",
  "status_code_and_message",
  "special_status_message",
  "unimplemented_method",
  "unimplemented_service",
  "pick_first_unary",
  "rpc_soak",
  "channel_soak",
] as const;

for (const engine of ["trireme", "grpc-js"] as const satisfies readonly RpcEngine[]) {
  for (const secure of [false, true]) {
    const name = `interop: ${engine}, ${secure ? "TLS" : "plaintext"}`;
    describe(name, needsBuilt(program, "google.golang.org/grpc/interop/client"), () => {
      let server: RpcServer;
      let folder: string;
      let args: readonly string[];

      before(async () => {
        folder = mkdtempSync(join(tmpdir(), "trireme-interop-"));
        const caFile = join(folder, "ca.pem");
        const ca = await createCa();
        writeFileSync(caFile, ca.ca);
        const pem: Pem | undefined = secure ? await ca.server() : undefined;
        const tls = pem && { ...pem, clientCa: ca.ca };
        server = createRpcServer({ log: memoryLog(), engine, tls });
        server.addService(testService, testHandlers);
        const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
        args = [
          ...["-server_host=127.0.0.1", `-server_port=${port}`],
          ...(secure ? ["-use_tls", "-use_test_ca", `-ca_file=${caFile}`] : []),
          ...(secure ? ["-server_host_override=localhost"] : []),
        ];
      });

      after(async () => {
        await server.close();
        rmSync(folder, { recursive: true, force: true });
      });

      for (const each of cases) {
        test(each, async () => {
          // It says what was wrong on standard error, and ends with 1.
          await promisify(execFile)(program, [...args, `-test_case=${each}`], { timeout: 60_000 });
        });
      }
    });
  }
}

describe("interop: compressed requests of grpc-js's client", () => {
  for (const engine of ["trireme", "grpc-js"] as const satisfies readonly RpcEngine[]) {
    for (const algorithm of ["gzip", "deflate"] as const) {
      test(`${engine}, ${algorithm}`, async () => {
        const server = createRpcServer({ log: memoryLog(), engine });
        server.addService(testService, testHandlers);
        const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
        const client = clientOf(port, {
          "grpc.default_compression_algorithm": compressionAlgorithms[algorithm],
        });
        try {
          const answer = await largeUnary(client);
          assert.deepEqual(answer, encodeAnswer({ payloadBytes: 314_159 }));
        } finally {
          client.close();
          await server.close();
        }
      });
    }
  }
});

function clientOf(port: number, options: ChannelOptions): Client {
  return new Client(`127.0.0.1:${port}`, credentials.createInsecure(), options);
}

/** The bytes of the answer's message. */
function largeUnary(client: Client): Promise<Buffer> {
  const request = encodeSimpleRequest(314_159, 271_828);
  const raw = (bytes: Buffer) => bytes;
  return new Promise((resolve, reject) => {
    const done = (error: ServiceError | null, answer: Buffer | undefined) =>
      error === null ? resolve(answer ?? Buffer.of()) : reject(error);
    client.makeUnaryRequest("/grpc.testing.TestService/UnaryCall", raw, raw, request, done);
  });
}
