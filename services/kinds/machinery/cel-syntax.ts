/** The syntax of expressions in the Common Expression Language, bounded in size and depth. */
import { Environment } from "@marcbachmann/cel-js";

const expressionLengthMax = 65_536;

const environment = new Environment({
  unlistedVariablesAreDyn: true,
  enableOptionalTypes: true,
  limits: { maxAstNodes: 10_000, maxDepth: 100 },
});

/** What is wrong with an expression, in the manner of upstream's compiler; nothing: it parses. */
export function checkCelSyntax(expression: string): string[] {
  if (expression.length > expressionLengthMax) {
    return [`compilation failed: the expression is longer than ${expressionLengthMax} characters`];
  }
  try {
    environment.parse(expression);
    return [];
  } catch (thrown) {
    const [first = ""] = (thrown as Error).message.split("\n");
    return [`compilation failed: ERROR: <input>: ${first}`];
  }
}

const identifier = /^[_a-zA-Z][_a-zA-Z0-9]*$/;
const reserved = new Set(
  (
    "true false null in as break const continue else for function if import let loop package " +
    "namespace return var void while"
  ).split(" "),
);

export function isCelIdentifier(text: string): boolean {
  return identifier.test(text) && !reserved.has(text);
}
