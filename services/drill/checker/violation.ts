/** A broken guarantee; the message begins with its name. */
export class Violation extends Error {
  override readonly name = "Violation";
}
