/** A balancer without TLS in a process of its own: `--port N --masters name=host:port,…`. */
import { startBalancer } from "../../../ha/balancer/mod.ts";
import { program, runProgram } from "../../../ha/runtime/production/process.ts";

const front = program({
  name: "bench-balancer",
  summary: "a balancer on loopback, without TLS",
  flags: {
    port: { type: "number", required: true, help: "port clients connect to" },
    masters: { type: "string", required: true, help: "name=host:port, separated by commas" },
  },
  async start(values, log) {
    const masters = values.masters.split(",").map((part) => {
      const [name = "", address = ""] = part.split("=");
      return { name, address };
    });
    const listen = { host: "127.0.0.1", port: values.port };
    const balancer = await startBalancer({ listen, masters, log });
    return { stop: () => balancer.close() };
  },
});

await runProgram(front, process.argv.slice(2));
