/** Calls of HTTPS webhooks: by URL or by Service, with a CA of their own, bounded in time and size. */
import { request } from "node:https";
import { isIP } from "node:net";
import type { TLSSocket } from "node:tls";
import { Code, StatusError } from "../../ha/runtime/status-error.ts";
import { traceparentHeader } from "../../ha/runtime/trace.ts";

/** Where a webhook is (upstream's `WebhookClientConfig`). */
export interface WebhookTarget {
  readonly url?: string | undefined;
  readonly service?:
    | {
        readonly namespace?: string | undefined;
        readonly name?: string | undefined;
        readonly path?: string | undefined;
        readonly port?: number | undefined;
      }
    | undefined;
  /** PEM in base64; absent: the CAs of the system. */
  readonly caBundle?: string | undefined;
}

/** An address behind a Service. */
interface ServiceBackend {
  readonly host: string;
  readonly port: number;
}

/** Finds a ready address of a Service; undefined: there is none. */
export type ServiceLookup = (
  namespace: string,
  name: string,
  port: number,
) => ServiceBackend | undefined;

export interface WebhookLimits {
  readonly timeoutMillis: number;
  readonly answerBytes: number;
}

interface Place {
  /** As it is named in errors. */
  readonly url: URL;
  readonly connect: ServiceBackend;
}

/** Posts a document and answers with what comes back. Throws a StatusError that names the URL. */
export async function callWebhook(
  target: WebhookTarget,
  document: object,
  services: ServiceLookup,
  limits: WebhookLimits,
  traceparent?: string,
): Promise<unknown> {
  const { url, connect } = placeOf(target, services);
  const seconds = Math.ceil(limits.timeoutMillis / 1000);
  url.searchParams.set("timeout", `${seconds}s`);
  const body = Buffer.from(JSON.stringify(document));
  const fail = (why: string) =>
    new StatusError(Code.internal, `Post ${JSON.stringify(url.href)}: ${why}`, {
      reason: "InternalError",
    });
  const text = await new Promise<string>((resolve, reject) => {
    const call = request(
      {
        host: connect.host,
        port: connect.port,
        path: `${url.pathname}${url.search}`,
        method: "POST",
        ...(isIP(hostOf(url)) === 0 && { servername: hostOf(url) }),
        headers: {
          host: url.host,
          "content-type": "application/json",
          accept: "application/json",
          "content-length": body.length,
          ...(traceparent !== undefined && { [traceparentHeader]: traceparent }),
        },
        signal: AbortSignal.timeout(limits.timeoutMillis),
        ...(target.caBundle && { ca: Buffer.from(target.caBundle, "base64") }),
      },
      (response) => {
        const parts: Buffer[] = [];
        let size = 0;
        response.on("data", (part: Buffer) => {
          size += part.length;
          parts.push(part);
          if (size > limits.answerBytes) {
            call.destroy(new Error(`the answer exceeds ${limits.answerBytes} bytes`));
          }
        });
        response.on("error", (error: Error) => reject(fail(reasonOf(error, seconds))));
        response.on("end", () => {
          const { statusCode = 0 } = response;
          if (statusCode === 200) resolve(Buffer.concat(parts).toString("utf8"));
          else reject(fail(`the server answered with status ${statusCode}`));
        });
      },
    );
    call.on("socket", (socket) => (socket as TLSSocket).setNoDelay?.(true));
    call.on("error", (error) => reject(fail(reasonOf(error, seconds))));
    call.end(body);
  });
  try {
    return JSON.parse(text);
  } catch {
    throw fail("the answer is no JSON");
  }
}

function reasonOf(error: Error, seconds: number): string {
  if (error.name === "TimeoutError" || error.name === "AbortError") {
    return `context deadline exceeded (no answer within ${seconds} s)`;
  }
  return error.message;
}

function placeOf({ url, service }: WebhookTarget, services: ServiceLookup): Place {
  if (url !== undefined) {
    const parsed = new URL(url);
    const connect = { host: hostOf(parsed), port: Number(parsed.port || 443) };
    return { url: parsed, connect };
  }
  const { namespace = "", name = "", path = "/", port = 443 } = service ?? {};
  const named = new URL(`https://${name}.${namespace}.svc:${port}${path}`);
  const connect = services(namespace, name, port);
  if (connect !== undefined) return { url: named, connect };
  throw new StatusError(
    Code.internal,
    `Post ${JSON.stringify(named.href)}: no endpoints available for service ${JSON.stringify(name)}`,
    { reason: "InternalError" },
  );
}

function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, "");
}
