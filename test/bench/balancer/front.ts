/** A balancer without TLS in a process of its own: `--port N --masters name=host:port,…`. */
import { startBalancer } from "../../../ha/balancer/mod.ts";
import { program, runProgram } from "../../../ha/runtime/production/process.ts";

const front = program({
  name: "bench-balancer",
  summary: "a balancer on loopback, without TLS",
  flags: {
    port: { type: "number", required: true, help: "port clients connect to" },
    masters: { type: "string", required: true, help: "name=host:port, separated by commas" },
    "rest-port": { type: "number", help: "port for REST; absent: none" },
    "rest-masters": { type: "string", default: "", help: "as --masters, for REST" },
  },
  async start(values, log) {
    const pairs = (text: string) => text.split(",").map((part) => part.split("="));
    const rests = new Map(pairs(values["rest-masters"]).map(([name, at]) => [name, at]));
    const masters = pairs(values.masters).map(([name = "", address = ""]) => {
      return { name, address, rest: rests.get(name) };
    });
    const host = "127.0.0.1";
    const restPort = values["rest-port"];
    const balancer = await startBalancer({
      listen: { host, port: values.port },
      rest: restPort === undefined ? undefined : { host, port: restPort },
      masters,
      log,
    });
    return { stop: () => balancer.close() };
  },
});

await runProgram(front, process.argv.slice(2));
