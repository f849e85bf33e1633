/**
 * What becomes of each field of a message: a part of Trireme reads it, the caller is warned that it
 * has no effect, or the object is refused. Tables of this form cover every field of every kind; a
 * test holds them against the descriptors, so that no field is accepted and ignored.
 */
import { messages } from "../../../proto/gen/schema.ts";
import { equalJson, isObject, type JsonObject } from "./json.ts";
import { limits } from "./limits.ts";

/**
 * Whether a value asks for nothing beyond what happens anyway, so that no warning is due. Told the
 * messages around the field, too, from the document to the field's own message.
 */
type Harmless = (value: unknown, around: readonly JsonObject[]) => boolean;

type FieldSupport =
  | { readonly verdict: "behaves"; readonly reader: string }
  | {
      readonly verdict: "warned";
      /** Follows the path and a colon in the warning. */
      readonly sentence: string;
      readonly harmless: Harmless;
      /**
       * Its parts have verdicts of their own, for the day on which something acts on the field;
       * until then the one warning stands for all of theirs.
       */
      readonly pending?: true;
    }
  | { readonly verdict: "refused"; readonly cause: string };

/** By field name. */
export type MessageSupport = Readonly<Record<string, FieldSupport>>;
/** By full name of the message. */
export type SupportTable = Readonly<Record<string, MessageSupport>>;

/** The fields named in `names`, apart by spaces, are read by `reader`. */
export function behaves(reader: string, names: string): MessageSupport {
  return each(names, { verdict: "behaves", reader });
}

/** The fields have no effect; the caller is told `sentence`, except for a harmless value. */
export function warned(
  names: string,
  sentence: string,
  harmless: Harmless = saysNothing,
): MessageSupport {
  return each(names, { verdict: "warned", sentence, harmless });
}

/** As {@link warned}, for fields whose parts are in the table already. */
export function pending(
  names: string,
  sentence: string,
  harmless: Harmless = saysNothing,
): MessageSupport {
  return each(names, { verdict: "warned", sentence, harmless, pending: true });
}

/** Validation or admission refuses an object that sets the fields; `cause` says in which words. */
export function refused(names: string, cause: string): MessageSupport {
  return each(names, { verdict: "refused", cause });
}

function each(names: string, support: FieldSupport): MessageSupport {
  return Object.fromEntries(names.split(/\s+/).map((name) => [name, support]));
}

/** Matches exactly these values, for fields in which even `false` can ask for something. */
export function oneOfValues(...values: readonly unknown[]): (value: unknown) => boolean {
  return (value) => values.some((one) => equalJson(one, value));
}

/** Absent, empty, false and zero. */
export function saysNothing(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === false || value === 0) {
    return true;
  }
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.keys(value).length === 0;
}

interface Step {
  readonly warning: Extract<FieldSupport, { verdict: "warned" }> | undefined;
  readonly nested: Plan;
  readonly map: boolean;
}

/** By field name, only fields that can cause a warning. */
type Plan = ReadonlyMap<string, Step>;

/** Warns about documents; made once from a table, it looks up each field of a document once. */
export class FieldWarnings {
  readonly #table: SupportTable;
  readonly #plans = new Map<string, Plan>();

  constructor(table: SupportTable) {
    this.#table = table;
  }

  /**
   * E.g. `spec.hostUsers: …` for each field of the document that has no effect, in the order of the
   * document, at most `limits.warnings` of them. A message without a table warns of nothing.
   */
  of(message: string, document: JsonObject): string[] {
    const plan = this.#plan(message);
    const warnings: string[] = [];
    if (plan.size > 0) visit(plan, [document], "", warnings);
    return warnings;
  }

  #plan(message: string): Plan {
    const known = this.#plans.get(message);
    if (known !== undefined) return known;
    const plan = new Map<string, Step>();
    // A message that contains itself finds the plan that is being made.
    this.#plans.set(message, plan);
    const support = this.#table[message] ?? {};
    for (const [name, field] of Object.entries(messages[message]?.fields ?? {})) {
      const entry = Object.hasOwn(support, name) ? support[name] : undefined;
      const warning = entry?.verdict === "warned" ? entry : undefined;
      const inner = warning === undefined && entry?.verdict !== "refused" && field.message;
      const nested: Plan = inner ? this.#plan(inner) : new Map();
      if (warning === undefined && nested.size === 0) continue;
      plan.set(name, { warning, nested, map: field.map === true });
    }
    return plan;
  }
}

/** The last of `around` is the message to visit. */
function visit(plan: Plan, around: JsonObject[], path: string, warnings: string[]): void {
  const value = around.at(-1) ?? {};
  for (const name of Object.keys(value)) {
    const step = plan.get(name);
    if (step === undefined || warnings.length >= limits.warnings) continue;
    const { warning, nested, map } = step;
    const part = value[name];
    if (part === undefined || part === null) continue;
    const at = path === "" ? name : `${path}.${name}`;
    if (warning !== undefined) {
      if (!warning.harmless(part, around)) warnings.push(`${at}: ${warning.sentence}`);
      continue;
    }
    const enter = (one: unknown, path: string): void => {
      if (!isObject(one)) return;
      around.push(one);
      visit(nested, around, path, warnings);
      around.pop();
    };
    if (Array.isArray(part)) {
      for (const [index, one] of part.entries()) enter(one, `${at}[${index}]`);
    } else if (!map) enter(part, at);
    else if (isObject(part)) {
      for (const key of Object.keys(part)) enter(part[key], `${at}[${key}]`);
    }
  }
}
