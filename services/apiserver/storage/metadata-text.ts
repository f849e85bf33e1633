/** What is found in the text of a document without parsing more of it than its metadata. */
import type { Labels } from "../../kinds/mod.ts";
import { endOfObject } from "./managed-text.ts";

const metadataStart = Buffer.from(',"metadata":{');
const beforeMetadata = /^\{"apiVersion":"[^"\\]*","kind":"[^"\\]*"$/;
const beforeMetadataMax = 400;
const labelsStart = Buffer.from('"labels":{');

/** The labels of a document; undefined: it does not begin as stored texts do, and is to be parsed. */
export function labelsIn(text: Buffer): Labels | undefined {
  const start = text.indexOf(metadataStart);
  if (start < 0 || start > beforeMetadataMax) return undefined;
  if (!beforeMetadata.test(text.toString("utf8", 0, start))) return undefined;
  const open = start + metadataStart.length - 1;
  const end = endOfObject(text, open) + 1;
  const labels = text.indexOf(labelsStart, open);
  if (labels < 0 || labels > end) return {};
  const { labels: found } = JSON.parse(text.toString("utf8", open, end)) as {
    labels?: Labels | null;
  };
  return found ?? {};
}
