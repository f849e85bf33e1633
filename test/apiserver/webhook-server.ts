/** An admission webhook on loopback that a test answers for. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority } from "../../services/apiserver/mod.ts";
import type { Document } from "../../services/kinds/mod.ts";

interface Asked {
  readonly path: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into requests of every shape.
  readonly request: any;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

type Answer = object | "hang";

export interface WebhookServer extends AsyncDisposable {
  readonly asked: Asked[];
  readonly caBundle: string;
  readonly port: number;
  /** What is answered beside the uid; default: allowed. "hang": nothing ever. */
  answer: (asked: Asked) => Answer;
  url(path: string): string;
}

export const jsonPatch = (...operations: object[]) => ({
  allowed: true,
  patchType: "JSONPatch",
  patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
});

export async function webhookServer(): Promise<WebhookServer> {
  const directory = await mkdtemp(join(tmpdir(), "trireme-admission-"));
  const authority = await createAuthority(directory);
  const hosts = ["127.0.0.1", "hook.default.svc"];
  const tls = await authority.issue({ commonName: "w", hosts, use: "server" });
  const asked: Asked[] = [];
  const server = createServer({ cert: tls.cert, key: tls.key }, (request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const { apiVersion, kind, request: review } = JSON.parse(Buffer.concat(parts).toString());
      const { headers } = request;
      const one = { path: request.url ?? "", request: review, headers };
      asked.push(one);
      const answer = world.answer(one);
      if (answer === "hang") return;
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ apiVersion, kind, response: { uid: review.uid, ...answer } }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const world: WebhookServer = {
    ...{ asked, port, caBundle: Buffer.from(authority.cert).toString("base64") },
    answer: () => ({ allowed: true }),
    url: (path) => `https://127.0.0.1:${port}${path}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await rm(directory, { recursive: true });
    },
  };
  return world;
}

/** A configuration with one webhook, about creations of config maps unless `more` says otherwise. */
export function configuration(
  kind: "Mutating" | "Validating",
  server: WebhookServer,
  more: object = {},
  name = "hooks",
): Document {
  return {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: `${kind}WebhookConfiguration`,
    metadata: { name },
    webhooks: [
      {
        name: "hook.example.com",
        clientConfig: { url: server.url("/hook"), caBundle: server.caBundle },
        sideEffects: "None",
        admissionReviewVersions: ["v1"],
        rules: [
          {
            operations: ["CREATE", "UPDATE"],
            apiGroups: [""],
            apiVersions: ["v1"],
            resources: ["configmaps"],
          },
        ],
        ...more,
      },
    ],
  };
}
