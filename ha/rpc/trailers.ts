/**
 * Fits the trailers of a call to what its caller reads. Trailers that are too long cost the caller
 * the status itself: grpc-core rejects a header list of more than 8 KiB at random and one of more
 * than 16 KiB always, Node's client closes the stream. So all trailers of a call share one budget,
 * and what is left out is said in the message.
 */
import { rpcLimits } from "./limits.ts";

/** What HTTP/2 counts for a field beyond its name and value (RFC 9113 section 6.5.2). */
const fieldOverheadBytes = 32;
const messageKey = "grpc-message";
const detailsKey = "grpc-status-details-bin";
/** Names the trailers that had no room. */
export const omittedTrailersKey = "trireme-omitted-trailers";

/** Notes at the end of a message, percent-encoded as it is. */
const shortenedNote = "... [shortened]";
const noDetailsNote = " [details left out]";

/** Fields without which a caller cannot read the status. */
function isEssential(name: string): boolean {
  return name.startsWith(":") || name === "content-type" || name === "grpc-status";
}

function sizeOfField(name: string, value: string): number {
  return name.length + value.length + fieldOverheadBytes;
}

/** Bytes of these fields, name and value alternately, as SETTINGS_MAX_HEADER_LIST_SIZE counts. */
export function headerListBytes(fields: readonly string[]): number {
  let bytes = 0;
  for (let at = 0; at < fields.length; at += 2) {
    bytes += sizeOfField(fields[at] as string, fields[at + 1] as string);
  }
  return bytes;
}

/** The budget of trailers for a caller that takes header lists of so many bytes. */
export function trailerBudget(peerHeaderListBytes: number): number {
  return Math.min(rpcLimits.trailerBytes, peerHeaderListBytes);
}

/**
 * The very same fields when they are within the budget. Otherwise the status stays, the message is
 * shortened, and other fields stay in their order while there is room, the details last.
 */
export function fitTrailers(fields: readonly string[], budgetBytes: number): readonly string[] {
  if (headerListBytes(fields) <= budgetBytes) return fields;
  const kept: string[] = [];
  const others: [name: string, value: string][] = [];
  let message = "";
  let details: string | undefined;
  for (let at = 0; at < fields.length; at += 2) {
    const name = fields[at] as string;
    const value = fields[at + 1] as string;
    if (isEssential(name)) kept.push(name, value);
    else if (name === messageKey) message = value;
    else if (name === detailsKey) details = value;
    else others.push([name, value]);
  }
  let room = Math.max(0, budgetBytes - headerListBytes(kept));
  // The message is what people read: up to half of the room is its own.
  const messageBytes = Math.min(sizeOfField(messageKey, message), Math.floor(room / 2));
  room -= messageBytes;
  const omitted: string[] = [];
  for (const [name, value] of others) {
    const bytes = sizeOfField(name, value);
    if (bytes <= room) {
      kept.push(name, value);
      room -= bytes;
    } else if (!omitted.includes(name)) {
      omitted.push(name);
    }
  }
  const note = omitted.join(",");
  if (omitted.length > 0 && sizeOfField(omittedTrailersKey, note) <= room) {
    kept.push(omittedTrailersKey, note);
    room -= sizeOfField(omittedTrailersKey, note);
  }
  let suffix = "";
  if (details !== undefined) {
    const bytes = sizeOfField(detailsKey, details);
    if (bytes <= room) {
      kept.push(detailsKey, details);
      room -= bytes;
    } else {
      suffix = noDetailsNote;
    }
  }
  const text = fitMessage(message, suffix, room + messageBytes - sizeOfField(messageKey, ""));
  if (text !== "") kept.push(messageKey, text);
  return kept;
}

/** The message with the suffix, in so many bytes; empty when not even a note has room. */
function fitMessage(message: string, suffix: string, bytes: number): string {
  if (message.length + suffix.length <= bytes) return message + suffix;
  return cutEncoded(message, bytes - suffix.length, suffix);
}

/** A percent-encoded message, cut to so many bytes with a note; a character stays whole or goes. */
export function cutEncoded(message: string, bytes: number, suffix = ""): string {
  if (message.length <= bytes) return message + suffix;
  let end = bytes - shortenedNote.length;
  if (end < 0) return "";
  const percent = message.lastIndexOf("%", end - 1);
  if (percent >= 0 && percent > end - 3) end = percent;
  // Of a character of several bytes, all or none: the others begin with the bits 10.
  while (end > 0 && /^%[89ABab]/.test(message.slice(end, end + 2))) end -= 3;
  return message.slice(0, Math.max(0, end)) + shortenedNote + suffix;
}
