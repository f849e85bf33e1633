/** One GET of the REST API, before there is a certificate to connect with. */
import { request } from "node:https";
import { parseAddress } from "../../../ha/rpc/mod.ts";
import { Code, StatusError } from "../../../ha/runtime/status-error.ts";

export interface RestQuestion {
  /** `host:port`. */
  readonly server: string;
  readonly path: string;
  /** PEM; absent: the answer is not believed yet. */
  readonly ca?: string | undefined;
  /** Is shown to a server that the CA vouches for, and to no other. */
  readonly token?: string | undefined;
}

export interface RestAnswer {
  readonly status: number;
  readonly document: object;
  /** Of a Status, for people. */
  readonly message: string;
  /** Of this machine. */
  readonly localAddress: string;
}

const bytesMax = 1024 * 1024;
const answerMillisMax = 10_000;

/** Rejects with a StatusError that names the server when there is no answer. */
export async function ask({ server, path, ca, token }: RestQuestion): Promise<RestAnswer> {
  const { host, port } = parseAddress(server);
  if (token !== undefined && ca === undefined) throw new Error("a token needs a CA");
  const fail = (why: string, cause?: unknown) =>
    new StatusError(Code.unavailable, `${server}: ${why}`, undefined, { cause });
  return await new Promise<RestAnswer>((resolve, reject) => {
    const call = request(
      {
        ...{ host, port, path, agent: false },
        ...(ca === undefined ? { rejectUnauthorized: false } : { ca }),
        signal: AbortSignal.timeout(answerMillisMax),
        headers: {
          accept: "application/json",
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
        },
      },
      (response) => {
        const localAddress = response.socket.localAddress ?? "";
        const pieces: Buffer[] = [];
        let bytes = 0;
        response.on("error", (error) => reject(fail(error.message, error)));
        response.on("data", (piece: Buffer) => {
          bytes += piece.length;
          if (bytes <= bytesMax) pieces.push(piece);
          else response.destroy(new Error(`an answer of more than ${bytesMax} bytes`));
        });
        response.on("end", () => {
          const status = response.statusCode ?? 0;
          const document = documentOf(Buffer.concat(pieces).toString());
          if (document === undefined) return reject(fail(`answers ${status} without JSON`));
          const { message = `status ${status}` } = document as { message?: string };
          resolve({ status, document, message, localAddress });
        });
      },
    );
    call.on("error", (error) => reject(fail(error.message, error)));
    call.end();
  });
}

function documentOf(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    // The caller says whose answer it is.
    return undefined;
  }
}
