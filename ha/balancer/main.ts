import { readFile } from "node:fs/promises";
import { program, runProgram } from "../runtime/production/process.ts";
import { Code, StatusError } from "../runtime/status-error.ts";
import { startBalancer } from "./balancer.ts";

const drainMillisMax = 5_000;

const balancer = program({
  name: "balancer",
  summary: "spreads calls over the masters, and hides it when one goes away",
  flags: {
    "bind-address": { type: "string", default: "127.0.0.1", help: "address clients connect to" },
    "grpc-port": { type: "number", default: 7443, help: "port clients connect to" },
    masters: {
      type: "string",
      required: true,
      help: "the masters' gRPC addresses: name=host:port, separated by commas",
    },
    "client-ca-file": {
      type: "string",
      required: true,
      help: "CA in PEM: of the clients' certificates and of the masters' ones",
    },
    "tls-cert-file": { type: "string", required: true, help: "the server's certificate in PEM" },
    "tls-private-key-file": { type: "string", required: true, help: "its private key in PEM" },
    "proxy-client-cert-file": {
      type: "string",
      required: true,
      help: "certificate in PEM by which masters believe who the balancer says is calling",
    },
    "proxy-client-key-file": { type: "string", required: true, help: "its private key in PEM" },
  },
  async start(values, log) {
    const ca = await readPem("client-ca-file", values["client-ca-file"]);
    const running = await startBalancer({
      listen: {
        host: values["bind-address"],
        port: values["grpc-port"],
        tls: {
          cert: await readPem("tls-cert-file", values["tls-cert-file"]),
          key: await readPem("tls-private-key-file", values["tls-private-key-file"]),
          clientCa: ca,
        },
      },
      masters: parseMasters(values.masters),
      upstreamTls: {
        ca,
        cert: await readPem("proxy-client-cert-file", values["proxy-client-cert-file"]),
        key: await readPem("proxy-client-key-file", values["proxy-client-key-file"]),
      },
      log,
    });
    log.info("balancing", { host: values["bind-address"], port: running.port });
    return {
      async stop() {
        await running.drain(drainMillisMax);
        await running.close();
      },
    };
  },
});

export { balancer as program };

function parseMasters(text: string): { name: string; address: string }[] {
  return text.split(",").map((part) => {
    const [name, address] = part.split("=");
    if (name && address) return { name, address };
    throw new StatusError(Code.invalidArgument, `--masters "${part}": name=host:port is wanted`);
  });
}

async function readPem(flag: string, file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const why = `--${flag} ${file} cannot be read: ${(error as Error).message}`;
    throw new StatusError(Code.failedPrecondition, why);
  }
}

if (import.meta.main) await runProgram(balancer, process.argv.slice(2));
