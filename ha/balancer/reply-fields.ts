import { encodeHeaders, type HeaderBlock } from "../http2/mod.ts";
import { fitTrailers, headerListBytes, trailerBudget } from "../rpc/trailers.ts";
import { Code } from "../runtime/status-error.ts";

/** On a reply that says UNAVAILABLE, or 503: `safe` says that nothing has been done. */
const retryTrailer = "trireme-retry";

/** Codes by which a server speaks of itself; all others are about the request or its sender. */
const serverFaults: ReadonlySet<string | undefined> = new Set(
  [Code.unavailable, Code.internal, Code.unknown, Code.dataLoss].map(String),
);

/** HTTP statuses of REST answers by which a master speaks of itself. */
const faultStatuses: ReadonlySet<string | undefined> = new Set(["500", "502", "503"]);

/** Every master would give these answers: the cluster has no leader, or the request is garbage. */
const blameless: readonly string[] = [
  "etcdserver: no leader",
  "etcdserver: leader changed",
  "the request could not be parsed",
];

/** The fields of a reply or of its end, encoded once for each place where they may stand. */
export class ReplyFields {
  /** The `:status` of the header block; undefined in trailers. */
  readonly httpStatus: string | undefined;
  /** As text; undefined: the fields end no call of gRPC. */
  readonly grpcStatus: string | undefined;
  /** The fields end a call. */
  readonly final: boolean;
  /** The master has done nothing, and the call may be repeated. */
  readonly repeatable: boolean;
  /** The answer reports a fault of the master that sends it. */
  readonly tellsFault: boolean;
  /** Name and value alternately; no pseudo fields. */
  readonly fields: readonly string[];
  readonly #secrets: readonly string[];
  /** Size by the rule for the header list limit, with the fields of the head. */
  #bytes: number | undefined;
  #head: Uint8Array | undefined;
  #trailers: Uint8Array | undefined;
  #only: Uint8Array | undefined;

  constructor(fields: readonly string[], secrets: readonly string[] = [], httpStatus?: string) {
    this.fields = fields;
    this.#secrets = secrets;
    this.httpStatus = httpStatus;
    const status = this.#get("grpc-status");
    this.grpcStatus = status;
    this.final = status !== undefined;
    const unavailable = status === String(Code.unavailable) || httpStatus === "503";
    this.repeatable = unavailable && this.#get(retryTrailer) === "safe";
    const fault = serverFaults.has(status) && !this.#isBlameless();
    this.tellsFault = fault || faultStatuses.has(httpStatus);
  }

  /** The fields of a block that a master has sent. Equal blocks share one object. */
  static of(block: HeaderBlock): ReplyFields {
    if (block.attachment === undefined) {
      const fields: string[] = [];
      for (let at = 0; at < block.fields.length; at += 2) {
        const name = block.fields[at] as string;
        if (!name.startsWith(":")) fields.push(name, block.fields[at + 1] as string);
      }
      block.attachment = new ReplyFields(fields, block.secrets, block.get(":status"));
    }
    return block.attachment as ReplyFields;
  }

  /** The body is lines of JSON, as that of a watch. */
  get isLines(): boolean {
    if (this.httpStatus !== "200" || this.#get("content-encoding") !== undefined) return false;
    return this.#get("content-type")?.startsWith("application/json") === true;
  }

  #isBlameless(): boolean {
    // grpc-message is percent-encoded; some leave the spaces as they are.
    const message = this.#get("grpc-message")?.replaceAll("%20", " ") ?? "";
    return blameless.some((text) => message.startsWith(text));
  }

  /** First value of a field. */
  #get(name: string): string | undefined {
    const at = this.fields.findIndex((field, index) => index % 2 === 0 && field === name);
    return at < 0 ? undefined : this.fields[at + 1];
  }

  /** The header block that begins a reply. */
  get head(): Uint8Array {
    const status = [":status", this.httpStatus ?? "200"];
    this.#head ??= encodeHeaders([...status, ...this.fields], this.#secrets);
    return this.#head;
  }

  /**
   * The header block that ends a reply, for a client that takes header lists of so many bytes. What
   * is over the budget of trailers is left out, so that the client reads the status.
   */
  trailers(peerHeaderListBytes: number): Uint8Array {
    if (!this.#fits(peerHeaderListBytes)) return this.#shortened([], peerHeaderListBytes);
    this.#trailers ??= encodeHeaders(this.fields, this.#secrets);
    return this.#trailers;
  }

  /** The header block that is the whole of a reply. */
  only(peerHeaderListBytes: number): Uint8Array {
    const typed = this.#get("content-type") !== undefined;
    const first = typed ? statusFields : headFields;
    if (!this.#fits(peerHeaderListBytes)) return this.#shortened(first, peerHeaderListBytes);
    if (typed) return this.head;
    this.#only ??= encodeHeaders([...first, ...this.fields], this.#secrets);
    return this.#only;
  }

  #fits(peerHeaderListBytes: number): boolean {
    this.#bytes ??= headerListBytes([...headFields, ...this.fields]);
    return this.#bytes <= trailerBudget(peerHeaderListBytes);
  }

  #shortened(first: readonly string[], peerHeaderListBytes: number): Uint8Array {
    const fields = fitTrailers([...first, ...this.fields], trailerBudget(peerHeaderListBytes));
    return encodeHeaders(fields, this.#secrets);
  }
}

const statusFields = [":status", "200"];
const headFields = [...statusFields, "content-type", "application/grpc"];
