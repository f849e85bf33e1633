/** The reference is held to the very contract that our engine is held to. */
import { rpcServerContract } from "../contract/rpc-server.ts";

rpcServerContract("grpc-js");
