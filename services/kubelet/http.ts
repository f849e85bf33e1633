/**
 * What the kubelet answers over HTTP/1.1, read only: the pages of upstream's kubelet that people ask
 * for through `nodes/NAME/proxy` (upstream `pkg/kubelet/server`). Only what is truly known is told.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { TLSSocket } from "node:tls";
import { processMetrics } from "../../ha/runtime/metrics.ts";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import type { Log } from "../../ha/runtime/types.ts";
import type { Pod } from "../../proto/gen/core.ts";
import { authorizePeer } from "./handlers.ts";
import { openLogs } from "./logs.ts";
import { badRequest, type PodSource } from "./requests.ts";
import {
  cadvisorMetrics,
  type ResourceSource,
  resourceMetrics,
  summary,
} from "./resource-pages.ts";

export interface HttpSource extends PodSource, ResourceSource {
  /** Every pod of the node. */
  readonly pods: () => readonly Pod[];
  /** The settings that can be told, as `configz` shows them. */
  readonly configuration: Readonly<Record<string, unknown>>;
}

interface Question {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly response: ServerResponse;
  readonly signal: AbortSignal;
}

/** `secured`: callers are known by their certificates. */
export function kubeletHttp(source: HttpSource, secured: boolean, log: Log): RequestListener {
  return (request, response) => {
    const url = new URL(request.url ?? "/", "http://kubelet");
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const { pathname: path, searchParams: query } = url;
    answer(source, secured, request, { path, query, response, signal: gone.signal }).catch(
      (thrown: unknown) => {
        const { code, message } = StatusError.from(thrown);
        log.debug("an HTTP request failed", { path, error: message });
        if (response.headersSent) response.destroy();
        else say(response, httpCodes[code] ?? 500, `${message}\n`, plainText);
      },
    );
  };
}

const plainText = "text/plain; charset=utf-8";

const httpCodes: Readonly<Partial<Record<Code, number>>> = {
  [Code.invalidArgument]: 400,
  [Code.unauthenticated]: 401,
  [Code.permissionDenied]: 403,
  [Code.notFound]: 404,
  [Code.unavailable]: 503,
};

async function answer(
  source: HttpSource,
  secured: boolean,
  request: IncomingMessage,
  question: Question,
): Promise<void> {
  if (secured) authorizePeer(certificateOf(request));
  const { path, response } = question;
  if (path.startsWith("/containerLogs/")) return containerLogs(source, question);
  const page = pages[path.length > 1 ? path.replace(/\/$/, "") : path];
  if (page === undefined) return say(response, 404, "404 page not found\n", plainText);
  const told = await page(source);
  if (typeof told === "string") return say(response, 200, told, plainText);
  say(response, 200, JSON.stringify(told), "application/json");
}

function certificateOf({ socket }: IncomingMessage) {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  return {
    commonName: [subject.CN].flat()[0] ?? "",
    organizations: [subject.O].flat().filter((each) => each !== undefined),
  };
}

const healthy = () => "ok";

/** A text, or an object to be shown as JSON. */
type Page = object | string;

/** By path, without a slash at its end. */
const pages: Readonly<Record<string, (source: HttpSource) => Page | Promise<Page>>> = {
  "/healthz": healthy,
  "/healthz/ping": healthy,
  "/healthz/syncloop": healthy,
  "/livez": healthy,
  "/livez/ping": healthy,
  "/readyz": healthy,
  "/readyz/ping": healthy,
  "/metrics": () => processMetrics.text(),
  "/pods": ({ pods }) => podList(pods()),
  "/runningpods": ({ pods }) => podList(pods().filter(({ status }) => status?.phase === "Running")),
  "/stats/summary": summary,
  "/metrics/resource": resourceMetrics,
  "/metrics/cadvisor": cadvisorMetrics,
  "/configz": ({ configuration }) => ({
    kubeletconfig: {
      kind: "KubeletConfiguration",
      apiVersion: "kubelet.config.k8s.io/v1beta1",
      ...configuration,
    },
  }),
};

function podList(pods: readonly Pod[]): object {
  const items = pods.map((pod) => ({ kind: "Pod", apiVersion: "v1", ...pod }));
  return { kind: "PodList", apiVersion: "v1", metadata: {}, items };
}

/** `/containerLogs/NAMESPACE/POD/CONTAINER`, with the options of a pod's `log`. */
async function containerLogs(source: HttpSource, question: Question): Promise<void> {
  const { path, query, response, signal } = question;
  const [, , namespace = "", name = "", container = "", more] = path.split("/");
  if (container === "" || more !== undefined) {
    throw badRequest("the path must be /containerLogs/NAMESPACE/POD/CONTAINER");
  }
  const truth = (field: string) => query.get(field) === "true";
  const pieces = openLogs(
    source,
    {
      ...{ namespace, name, container, follow: truth("follow"), previous: truth("previous") },
      timestamps: truth("timestamps"),
      sinceTime: query.get("sinceTime") ?? undefined,
      tailLines: wholeIn(query, "tailLines"),
      limitBytes: wholeIn(query, "limitBytes"),
      sinceSeconds: wholeIn(query, "sinceSeconds"),
    },
    signal,
  );
  response.writeHead(200, { "content-type": "text/plain" });
  for await (const piece of pieces) {
    if (!response.write(piece)) await drained(response, signal);
  }
  response.end();
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    response.once("drain", resolve);
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function wholeIn(query: URLSearchParams, field: string): number | undefined {
  const text = query.get(field);
  if (text === null || text === "") return undefined;
  if (/^-?\d{1,15}$/.test(text)) return Number(text);
  throw badRequest(`${field}: ${JSON.stringify(text)} is no whole number`);
}

function say(response: ServerResponse, status: number, text: string, type: string): void {
  response.writeHead(status, { "content-type": type });
  response.end(text);
}
