/** Bytes as JSON has them. */

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Where Go's decoder stops in a text that is no base64 (`base64.CorruptInputError`); undefined: it
 * is. Line ends, which a YAML block brings along, are passed over.
 */
export function base64Fault(text: string): number | undefined {
  if (base64.test(text)) return undefined;
  const joined = text.replace(/[\r\n]/g, "");
  return base64.test(joined) ? undefined : faultOffset(joined);
}

function faultOffset(text: string): number {
  const strange = text.search(/[^A-Za-z0-9+/]/);
  // Whole groups of four are fine, so the fault is the group that was begun.
  if (strange < 0) return text.length - (text.length % 4);
  if (text[strange] !== "=" || strange % 4 < 2) return strange;
  if (strange % 4 === 3) return strange + 1;
  const second = strange + 1;
  if (second >= text.length) return text.length;
  return text[second] === "=" ? second + 1 : strange;
}
