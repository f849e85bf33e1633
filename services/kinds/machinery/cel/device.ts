/** Expressions that choose devices (KEP-4381): they read `device`. */

import { compileExpression } from "./compile.ts";
import { type CelEnvironment, celEnvironment } from "./environment.ts";
import { TypedObject } from "./values.ts";

const deviceType = "kubernetes.DRADevice";

class Device extends TypedObject {}

let known: CelEnvironment | undefined;

function environment(): CelEnvironment {
  if (known !== undefined) return known;
  known = celEnvironment();
  known.registerType(deviceType, {
    ctor: Device,
    fields: {
      driver: "string",
      attributes: "map<string, map<string, dyn>>",
      capacity: "map<string, map<string, kubernetes.Quantity>>",
    },
  });
  known.registerVariable("device", deviceType);
  return known;
}

/** What is wrong with an expression, in upstream's words; undefined: it compiles. */
export function deviceExpressionProblem(text: string): string | undefined {
  try {
    const { type } = compileExpression(environment(), text);
    if (type === "bool" || type === "dyn") return undefined;
    return `must evaluate to bool or the unknown type, not ${type}`;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}
