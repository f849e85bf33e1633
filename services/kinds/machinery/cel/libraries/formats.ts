/** Named formats: `format.dns1123Label().validate(text)`, `format.named("uuid")`. */
import type { Environment } from "@marcbachmann/cel-js";
import { checkLabelName, checkLabelValue, checkQualifiedName, nameRules } from "../../names.ts";
import { isFormat } from "../../structural/formats.ts";
import { optionalOf } from "../values.ts";
import { define, defineNamespace, spendOnText } from "./define.ts";

type Check = (text: string) => readonly string[];

class FormatValue {
  readonly name: string;
  readonly check: Check;

  constructor(name: string, check: Check) {
    this.name = name;
    this.check = check;
  }

  toString(): string {
    return this.name;
  }
}

/** A name to which random characters will be added may end in a dash. */
const prefix =
  (check: Check): Check =>
  (text) =>
    check(text.replace(/-$/, "a"));

const stringFormat =
  (name: string, message: string): Check =>
  (text) =>
    isFormat(name, text) ? [] : [message];

const formats: Readonly<Record<string, Check>> = {
  dns1123Label: checkLabelName,
  dns1123LabelPrefix: prefix(checkLabelName),
  dns1123Subdomain: nameRules.subdomain,
  dns1123SubdomainPrefix: prefix(nameRules.subdomain),
  dns1035Label: nameRules.service,
  dns1035LabelPrefix: prefix(nameRules.service),
  qualifiedName: checkQualifiedName,
  labelValue: checkLabelValue,
  uri: stringFormat("uri", "invalid uri"),
  uuid: stringFormat("uuid", "does not match the UUID format"),
  byte: stringFormat("byte", "invalid base64"),
  date: stringFormat("date", "invalid date"),
  datetime: stringFormat("datetime", "invalid datetime"),
};

export function registerFormats(environment: Environment): void {
  const type = "kubernetes.NamedFormat";
  environment.registerType(type, { ctor: FormatValue, fields: {} });
  environment.registerOperator(
    `${type} == ${type}`,
    (one: FormatValue, other: FormatValue) => one.name === other.name,
  );
  const values = new Map(
    Object.entries(formats).map(([name, check]) => [name, new FormatValue(name, check)]),
  );
  define(environment, {
    [`${type}.validate(string): optional<list<string>>`]: (format: FormatValue, text: string) => {
      spendOnText(text);
      const problems = format.check(text);
      return optionalOf(problems.length === 0 ? undefined : [...problems]);
    },
  });
  const makers = [...values].map(([name, value]) => [`${name}(): ${type}`, () => value] as const);
  defineNamespace(environment, "format", {
    ...Object.fromEntries(makers),
    [`named(string): optional<${type}>`]: (name: string) => optionalOf(values.get(name)),
  });
}
