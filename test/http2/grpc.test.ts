/** The suites of the gRPC server, which test/rpc runs on grpc-js, run on our own engine. */
import { rpcServerContract } from "../contract/rpc-server.ts";
import { useEngine } from "../rpc/harness.ts";

useEngine("trireme");
await import("../rpc/handlers.test.ts");
await import("../rpc/server.test.ts");
await import("../rpc/connect.test.ts");
rpcServerContract("trireme");
