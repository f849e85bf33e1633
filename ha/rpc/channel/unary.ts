import { Code, StatusError } from "../../runtime/status-error.ts";
import { CallFailure } from "../call-failure.ts";
import { MessageReader } from "../engine/messages.ts";
import { type CallSettings, ClientCall } from "./call.ts";

/** One answer, handed over as bytes. */
export class UnaryClientCall extends ClientCall {
  readonly #answer: (failure: CallFailure | undefined, message: Buffer | undefined) => void;
  #reader: MessageReader | undefined;

  constructor(
    settings: CallSettings,
    answer: (failure: CallFailure | undefined, message: Buffer | undefined) => void,
  ) {
    super(settings);
    this.#answer = answer;
  }

  onData(piece: Buffer): void {
    this.consume(piece.length);
    this.#reader ??= new MessageReader(this.encoding, this.maxMessageBytes);
    try {
      this.#reader.add(piece);
      this.#reader.checkSingle();
    } catch (thrown) {
      const { code, message } = StatusError.from(thrown);
      if (code === Code.internal) this.fail(Code.unimplemented, "Too many responses received");
      else this.fail(code, message);
    }
  }

  protected ended(failure: CallFailure | undefined) {
    if (failure !== undefined) return this.#answer(failure, undefined);
    try {
      const message = this.#reader?.next();
      if (message !== undefined) return this.#answer(undefined, message);
      this.#answer(new CallFailure(Code.unimplemented, "No message received"), undefined);
    } catch (thrown) {
      const { code, message } = StatusError.from(thrown);
      this.#answer(new CallFailure(code, message), undefined);
    }
  }
}
