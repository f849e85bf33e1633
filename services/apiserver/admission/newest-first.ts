import type { Document } from "../../kinds/mod.ts";

/** The order in which one of several default classes is chosen: the one that was made last. */
export function newestFirst(
  one: Pick<Document, "metadata">,
  other: Pick<Document, "metadata">,
): number {
  const made = ({ metadata }: Pick<Document, "metadata">) => metadata?.creationTimestamp ?? "";
  if (made(one) !== made(other)) return made(one) > made(other) ? -1 : 1;
  return (one.metadata?.name ?? "") < (other.metadata?.name ?? "") ? -1 : 1;
}
