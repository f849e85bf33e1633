/** The columns that both kinds of metrics have: what is used, and over which time it was measured. */

import { nameColumn } from "../machinery/define.ts";
import { addQuantities, formatQuantity, quantityOf } from "../machinery/quantity.ts";
import type { Column, Document } from "../machinery/resource.ts";

type Usage = Readonly<Record<string, string>>;

/** `usages` gives the parts of which an object's usage is the sum. */
export function metricsColumns(usages: (document: Document) => readonly Usage[]): Column[] {
  const used = (name: string) => (document: Document) =>
    formatQuantity(
      usages(document)
        .map((usage) => quantityOf(usage[name] ?? "0"))
        .reduce(addQuantities, quantityOf("0")),
    );
  return [
    nameColumn,
    { name: "cpu", format: "quantity", value: used("cpu") },
    { name: "memory", format: "quantity", value: used("memory") },
    {
      name: "Window",
      format: "duration",
      value: ({ window }) => (typeof window === "string" ? window : ""),
    },
  ];
}
