/** One probe or hook action against a container: exec, httpGet, tcpSocket, grpc. */
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect as connectTcp } from "node:net";
import {
  credentials,
  makeGenericClientConstructor,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { StatusError } from "../../../ha/runtime/status-error.ts";
import type { HTTPGetAction } from "../../../proto/gen/core.ts";
import { HealthCheckRequest, HealthCheckResponse } from "../../../proto/gen/health.ts";
import type { ContainerRuntime } from "../runtime/types.ts";
import { authorityOf } from "./authority.ts";
import type { ProbeOutcome, ProbeRunner, ProbeTarget } from "./probes.ts";

const bodyBytesShown = 256;
/** How much of an answer is read; a probe that streams for ever is cut off. */
const bodyBytesMax = 10 * 1024;
const redirectsMax = 3;

export function probeRunner(runtime: ContainerRuntime): ProbeRunner {
  return async (probe, target, timeoutMillis) => {
    try {
      if (probe.exec !== undefined) {
        const command = probe.exec.command ?? [];
        const result = await runtime.exec(target.id, command, timeoutMillis);
        if (result.timedOut) return failed(`command "${command.join(" ")}" timed out`);
        return { ok: result.exitCode === 0, message: result.output.trim() };
      }
      if (probe.httpGet !== undefined) return await httpProbe(probe.httpGet, target, timeoutMillis);
      if (probe.tcpSocket !== undefined) {
        const port = portOf(probe.tcpSocket.port, target);
        return await tcpProbe(probe.tcpSocket.host ?? target.podIP, port, timeoutMillis);
      }
      if (probe.grpc !== undefined) {
        const address = authorityOf(target.podIP, probe.grpc.port);
        return await grpcProbe(address, probe.grpc.service ?? "", timeoutMillis);
      }
      return failed("the probe names no action");
    } catch (error) {
      return failed(StatusError.from(error).message);
    }
  };
}

function failed(message: string): ProbeOutcome {
  return { ok: false, message };
}

/** A number, or the name of one of the container's ports. */
function portOf(port: unknown, target: ProbeTarget): number {
  if (typeof port === "number") return port;
  const named = target.container.ports?.find((one) => one.name === port)?.containerPort;
  if (named !== undefined) return named;
  const number = Number(port);
  if (Number.isInteger(number) && number > 0 && number < 65536) return number;
  throw new Error(`no port of the container is named "${String(port)}"`);
}

export function httpProbe(
  action: HTTPGetAction,
  target: ProbeTarget,
  timeoutMillis: number,
): Promise<ProbeOutcome> {
  const secure = action.scheme === "HTTPS";
  const host = action.host || target.podIP;
  const path = action.path ?? "/";
  const authority = authorityOf(host, portOf(action.port, target));
  const url = `${secure ? "https" : "http"}://${authority}`;
  const headers: Record<string, string> = { "user-agent": "kube-probe/trireme", accept: "*/*" };
  for (const { name, value } of action.httpHeaders ?? []) {
    headers[(name ?? "").toLowerCase()] = value ?? "";
  }
  const begin = new URL(path.startsWith("/") ? path : `/${path}`, url);
  return httpOnce(begin, headers, performance.now() + timeoutMillis, redirectsMax);
}

function httpOnce(
  url: URL,
  headers: Readonly<Record<string, string>>,
  deadline: number,
  redirectsLeft: number,
): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const make = url.protocol === "https:" ? httpsRequest : httpRequest;
    const remaining = Math.max(1, deadline - performance.now());
    const options = { headers, agent: false as const, rejectUnauthorized: false };
    const request = make(url, options, (response) => {
      let body = "";
      let length = 0;
      const end = () => {
        finish(judge(response.statusCode ?? 0, body));
      };
      response.on("data", (piece: Buffer) => {
        length += piece.length;
        if (body.length < bodyBytesShown) body += piece.toString("latin1");
        if (length > bodyBytesMax) end();
      });
      response.on("end", () => {
        const { location } = response.headers;
        const code = response.statusCode ?? 0;
        const next = code >= 300 && code < 400 && location ? new URL(location, url) : undefined;
        // A redirect to another host counts as success and is not followed, as upstream.
        if (next === undefined || next.hostname !== url.hostname || redirectsLeft === 0) end();
        else {
          const refused = (error: unknown) => finish(failed(String(error)));
          httpOnce(next, headers, deadline, redirectsLeft - 1).then(finish, refused);
        }
      });
      response.on("error", (error) => finish(failed(error.message)));
    });
    const timer = setTimeout(() => {
      const client = "(Client.Timeout exceeded while awaiting headers)";
      finish(failed(`Get "${url.href}": context deadline exceeded ${client}`));
    }, remaining);
    const finish = (outcome: ProbeOutcome) => {
      clearTimeout(timer);
      request.destroy();
      resolve(outcome);
    };
    request.on("error", (error) => finish(failed(`Get "${url.href}": ${dialText(error)}`)));
    request.end();
  });
}

const dialProblems: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by peer",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  ETIMEDOUT: "i/o timeout",
};

/** A connection that did not come about, in the words of Go's dialer. */
function dialText(error: Error): string {
  const {
    code = "",
    syscall,
    address,
    port,
  } = error as NodeJS.ErrnoException & {
    readonly address?: string;
    readonly port?: number;
  };
  const problem = dialProblems[code];
  if (problem === undefined || syscall !== "connect") return error.message;
  return `dial tcp ${address}:${port}: connect: ${problem}`;
}

function judge(code: number, body: string): ProbeOutcome {
  if (code >= 200 && code < 400) return { ok: true, message: body.slice(0, bodyBytesShown) };
  return failed(`HTTP probe failed with statuscode: ${code}`);
}

function tcpProbe(host: string, port: number, timeoutMillis: number): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host, port, timeout: timeoutMillis });
    const finish = (outcome: ProbeOutcome) => {
      socket.destroy();
      resolve(outcome);
    };
    socket.once("connect", () => finish({ ok: true, message: "" }));
    socket.once("timeout", () => finish(failed(`dial tcp ${host}:${port}: i/o timeout`)));
    socket.once("error", (error) => finish(failed(dialText(error))));
  });
}

const HealthClient = makeGenericClientConstructor(
  {
    check: {
      path: "/grpc.health.v1.Health/Check",
      requestStream: false,
      responseStream: false,
      requestSerialize: (value: HealthCheckRequest) =>
        Buffer.from(HealthCheckRequest.encode(value).finish()),
      requestDeserialize: (bytes: Buffer) => HealthCheckRequest.decode(bytes),
      responseSerialize: (value: HealthCheckResponse) =>
        Buffer.from(HealthCheckResponse.encode(value).finish()),
      responseDeserialize: (bytes: Buffer) => HealthCheckResponse.decode(bytes),
    },
  },
  "grpc.health.v1.Health",
);

function grpcProbe(address: string, service: string, timeoutMillis: number): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const client = new HealthClient(address, credentials.createInsecure(), {
      "grpc.enable_channelz": 0,
      "grpc.use_local_subchannel_pool": 1,
    });
    client.makeUnaryRequest(
      "/grpc.health.v1.Health/Check",
      (value: HealthCheckRequest) => Buffer.from(HealthCheckRequest.encode(value).finish()),
      (bytes: Buffer) => HealthCheckResponse.decode(bytes),
      { service },
      { deadline: Date.now() + timeoutMillis },
      (error: ServiceError | null, response?: HealthCheckResponse) => {
        client.close();
        if (error) return resolve(failed(grpcProblem(error, timeoutMillis)));
        const serving = Number(response?.status);
        if (serving === 1) return resolve({ ok: true, message: "" });
        const name = servingStatuses[serving] ?? String(serving);
        resolve(failed(`service unhealthy (responded with "${name}")`));
      },
    );
  });
}

/** `grpc.health.v1.HealthCheckResponse.ServingStatus`. */
const servingStatuses = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"] as const;

function grpcProblem({ code, details }: ServiceError, timeoutMillis: number): string {
  if (code === status.UNIMPLEMENTED) {
    const protocol = "the grpc health protocol (grpc.health.v1.Health)";
    return `error: this server does not implement ${protocol}: ${details}`;
  }
  if (code === status.DEADLINE_EXCEEDED) {
    return `timeout: health rpc did not complete within ${timeoutMillis / 1000}s`;
  }
  return `error: health rpc probe failed: ${details}`;
}
