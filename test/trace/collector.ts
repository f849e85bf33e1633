/** An OpenTelemetry collector on loopback that keeps what it is sent. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface SeenSpan {
  readonly service: string;
  readonly instance: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly kind: number;
  readonly beganAt: bigint;
  readonly endedAt: bigint;
  readonly attributes: Readonly<Record<string, string>>;
  readonly error: string | undefined;
}

export interface Collector extends AsyncDisposable {
  readonly endpoint: string;
  readonly spans: SeenSpan[];
  /** Paths and content types of the requests. */
  readonly requests: { readonly path: string; readonly headers: NodeJS.Dict<string | string[]> }[];
  /** What the next requests are answered with, in order; then 200. */
  readonly statuses: number[];
}

// biome-ignore lint/suspicious/noExplicitAny: the wire form is looked into as it comes.
type Wire = any;

const textOf = (value: Wire) => String(Object.values(value)[0]);
const attributesOf = (list: Wire[]) =>
  Object.fromEntries(list.map(({ key, value }) => [key, textOf(value)]));

export async function collector(): Promise<Collector> {
  const spans: SeenSpan[] = [];
  const requests: Collector["requests"] = [];
  const statuses: number[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      requests.push({ path: request.url ?? "", headers: request.headers });
      const status = statuses.shift() ?? 200;
      if (status === 200) spans.push(...spansOf(JSON.parse(Buffer.concat(parts).toString())));
      response.writeHead(status, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    ...{ spans, requests, statuses, endpoint: `http://127.0.0.1:${port}` },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function spansOf({ resourceSpans }: Wire): SeenSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }: Wire) => {
    const about = attributesOf(resource.attributes);
    return scopeSpans.flatMap(({ spans }: Wire) =>
      spans.map((span: Wire) => ({
        service: about["service.name"],
        instance: about["service.instance.id"],
        name: span.name,
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId,
        kind: span.kind,
        beganAt: BigInt(span.startTimeUnixNano),
        endedAt: BigInt(span.endTimeUnixNano),
        attributes: attributesOf(span.attributes),
        error: span.status.code === 2 ? span.status.message : undefined,
      })),
    );
  });
}
