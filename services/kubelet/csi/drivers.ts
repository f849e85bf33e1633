/** The CSI drivers of a node, by their sockets. */
import { isAbsolute } from "node:path";
import type { ClientUnaryCall, Metadata, ServiceError } from "@grpc/grpc-js";
import { connectSocket } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";
import { NodeClient } from "../../../proto/gen/csi.ts";
import { kubeletLimits } from "../limits.ts";

/** `DRIVER=PATH,…`. Throws StatusError naming the flag. */
export function parseSockets(value: string, flag: string): ReadonlyMap<string, string> {
  const sockets = new Map<string, string>();
  for (const part of value.split(",").filter((one) => one !== "")) {
    const at = part.indexOf("=");
    const [name, path] = [part.slice(0, Math.max(0, at)), part.slice(at + 1)];
    if (!/^[a-z0-9][-a-z0-9.]{0,62}$/i.test(name) || !isAbsolute(path)) {
      throw new StatusError(
        Code.invalidArgument,
        `${flag}: "${part}" is not DRIVER=PATH with a driver's name and an absolute path`,
      );
    }
    sockets.set(name, path);
  }
  return sockets;
}

type Unary<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: { readonly deadline: number },
  done: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

export class CsiDrivers {
  readonly #sockets: Map<string, string>;
  readonly #clients = new Map<string, NodeClient>();

  /** `sockets`: by the drivers' names. */
  constructor(sockets: ReadonlyMap<string, string>) {
    this.#sockets = new Map(sockets);
  }

  add(driver: string, path: string): void {
    if (this.#sockets.get(driver) === path) return;
    this.remove(driver);
    this.#sockets.set(driver, path);
  }

  remove(driver: string): void {
    this.#sockets.delete(driver);
    this.#clients.get(driver)?.close();
    this.#clients.delete(driver);
  }

  /** Throws StatusError in upstream's words. */
  client(driver: string): NodeClient {
    const known = this.#clients.get(driver);
    if (known !== undefined) return known;
    const path = this.#sockets.get(driver);
    if (path === undefined) {
      throw new StatusError(
        Code.notFound,
        `driver name ${driver} not found in the list of registered CSI drivers`,
      );
    }
    const client = connectSocket(NodeClient, path, { userAgent: "kubelet" });
    this.#clients.set(driver, client);
    return client;
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }
}

/** One call, within upstream's two minutes. Throws StatusError as Go prints a failed call. */
export function callDriver<Request, Response>(
  client: NodeClient,
  method: Unary<Request, Response>,
  metadata: Metadata,
  request: Request,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + kubeletLimits.csiCallMillis;
    method.call(client, request, metadata, { deadline }, (error, response) => {
      if (error === null) return resolve(response);
      const name = goNames[error.code] ?? String(error.code);
      const text = `rpc error: code = ${name} desc = ${error.details}`;
      reject(new StatusError(error.code as Code, text));
    });
  });
}

/** The codes' names in Go's client. */
const goNames: Readonly<Record<number, string>> = {
  1: "Canceled",
  2: "Unknown",
  3: "InvalidArgument",
  4: "DeadlineExceeded",
  5: "NotFound",
  6: "AlreadyExists",
  7: "PermissionDenied",
  8: "ResourceExhausted",
  9: "FailedPrecondition",
  10: "Aborted",
  11: "OutOfRange",
  12: "Unimplemented",
  13: "Internal",
  14: "Unavailable",
  15: "DataLoss",
  16: "Unauthenticated",
};
