/** A REST call on the connection to a master: its head says how it went, its END_STREAM ends it. */
import type { HeaderBlock } from "../http2/mod.ts";
import { MasterCall } from "./master-call.ts";
import { ReplyFields } from "./reply-fields.ts";

const noFields = new ReplyFields([]);

export class RestMasterCall extends MasterCall {
  #reply = noFields;

  override answered(block: HeaderBlock, endStream: boolean): void {
    this.#reply = ReplyFields.of(block);
    this.handlers?.replyHeaders(this.#reply);
    if (endStream) this.complete(this.#reply);
  }

  override arrived(bytes: Buffer, start: number, end: number, endStream: boolean): void {
    this.pass(bytes, start, end);
    if (endStream) this.complete(this.#reply);
  }

  /** Kubernetes knows no trailers. */
  override completed(): void {
    this.complete(this.#reply);
  }
}
