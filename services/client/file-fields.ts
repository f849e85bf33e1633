/** Reads what a person has written into a file: each error names the field and its limits. */
import { Code, StatusError } from "../../ha/runtime/status-error.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** `path`: the place in the file, e.g. `stages[0].runTime`; "" for the whole of it. */
export class FileFields {
  readonly #prefix: string;

  /** `file`: what errors begin with, e.g. `stage file`; "": with the field. */
  constructor(file = "") {
    this.#prefix = file === "" ? "" : `${file}: `;
  }

  wrong(path: string, problem: string): StatusError {
    const text = path === "" ? problem : `${path}: ${problem}`;
    return new StatusError(Code.invalidArgument, `${this.#prefix}${text}`);
  }

  /** Throws StatusError, as all of these do. */
  object(value: unknown, path: string): Fields {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Fields;
    }
    throw this.wrong(path, "must be an object");
  }

  list(value: unknown, path: string): readonly unknown[] {
    if (Array.isArray(value)) return value;
    throw this.wrong(path, "must be a list");
  }

  only(fields: Fields, path: string, names: readonly string[]): void {
    for (const name of Object.keys(fields)) {
      if (names.includes(name)) continue;
      throw this.wrong(within(path, name), `unknown field; known are ${names.join(", ")}`);
    }
  }

  /** Undefined: the field is not there. */
  whole(fields: Fields, path: string, name: string, least: number, most: number) {
    const value = fields[name];
    if (value === undefined) return undefined;
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) {
      return value;
    }
    const given = JSON.stringify(value);
    const problem = `${given} is not a whole number in ${least}..${most}`;
    throw this.wrong(within(path, name), problem);
  }
}

function within(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}
