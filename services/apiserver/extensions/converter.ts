/** How objects of one version become objects of another. */
import type { CustomResourceConversion } from "../../../proto/gen/apiextensions.ts";
import type { Document } from "../../kinds/mod.ts";

export interface Converter {
  /** For versions that differ in name alone. Answers its argument where that is the version. */
  convert(document: Document, apiVersion: string): Document;
  /** Present: another program converts. Answers in the same order. Throws a StatusError. */
  readonly remote?: (
    documents: readonly Document[],
    apiVersion: string,
  ) => Promise<readonly Document[]>;
}

export type RemoteConversion = (
  conversion: CustomResourceConversion,
) => NonNullable<Converter["remote"]>;

/** `remote` makes the conversion of a definition whose strategy is Webhook. */
export function converterOf(
  conversion: CustomResourceConversion | undefined,
  remote: RemoteConversion,
): Converter {
  const convert: Converter["convert"] = (document, apiVersion) =>
    document.apiVersion === apiVersion ? document : { ...document, apiVersion };
  if (conversion?.strategy !== "Webhook") return { convert };
  return { convert, remote: remote(conversion) };
}
