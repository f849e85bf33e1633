import { Channel } from "../../ha/rpc/channel/channel.ts";
import { GrpcJsWire } from "../../services/client/grpc-js-wire.ts";
import { oddMessages, wireContract } from "../contract/wire.ts";

wireContract("grpc-js", (options) => new GrpcJsWire(options));
wireContract("Trireme's engine", (options) => new Channel(options), oddMessages);
