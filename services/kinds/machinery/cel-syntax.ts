/** What may be a name in the Common Expression Language. */

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
