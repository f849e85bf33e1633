/** The protocols, by the name that a target's address has them by. */
import { etcd } from "./etcd.ts";
import { grpc } from "./grpc.ts";
import { rest } from "./rest.ts";
import type { Protocol, ProtocolName } from "./target.ts";

export const protocols: Readonly<Record<ProtocolName, Protocol>> = { grpc, https: rest, etcd };
