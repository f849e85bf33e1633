/** The formats of texts that are checked (kube-openapi `strfmt`); others are documentation. */
import { isIP, isIPv4, isIPv6 } from "node:net";
import { isDuration } from "../go-duration.ts";
import { parseTime } from "../time.ts";

type Check = (text: string) => boolean;

const textMax = 4_096;

const checks: Readonly<Record<string, Check>> = {
  date: (text) => /^\d{4}-\d\d-\d\d$/.test(text) && parseTime(`${text}T00:00:00Z`) !== undefined,
  "date-time": (text) => parseTime(text.replace(" ", "T")) !== undefined,
  datetime: (text) => parseTime(text.replace(" ", "T")) !== undefined,
  duration: isDuration,
  ipv4: isIPv4,
  ipv6: isIPv6,
  cidr: isCidr,
  mac: (text) => /^([0-9a-f]{2}([:-][0-9a-f]{2}){5}|([0-9a-f]{4}\.){2}[0-9a-f]{4})$/i.test(text),
  uuid: (text) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(text),
  uuid3: (text) => uuidOf(text, "3"),
  uuid4: (text) => uuidOf(text, "4"),
  uuid5: (text) => uuidOf(text, "5"),
  byte: (text) => /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text),
  uri: isUri,
  email: (text) => /^[^\s@<>]{1,64}@[^\s@<>]{1,255}$/.test(text),
  hostname: isHostName,
  bsonobjectid: (text) => /^[0-9a-f]{24}$/i.test(text),
  isbn: (text) => isIsbn10(text) || isIsbn13(text),
  isbn10: isIsbn10,
  isbn13: isIsbn13,
  creditcard: isCardNumber,
  ssn: (text) => /^\d{3}[- ]?\d{2}[- ]?\d{4}$/.test(text),
  hexcolor: (text) => /^#?([0-9a-f]{3}|[0-9a-f]{6})$/i.test(text),
  rgbcolor: isRgbColor,
};

/** Of other formats upstream takes no notice. */
export function isKnownFormat(format: string): boolean {
  return format === "password" || Object.hasOwn(checks, format);
}

/** True also for formats that are not checked. */
export function isFormat(format: string, text: string): boolean {
  const check = Object.hasOwn(checks, format) ? checks[format] : undefined;
  if (check === undefined) return true;
  return (format === "byte" || text.length <= textMax) && check(text);
}

function isCidr(text: string): boolean {
  const [address = "", bits = "", more] = text.split("/");
  const width = isIP(address) === 4 ? 32 : 128;
  return (
    more === undefined && isIP(address) !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= width
  );
}

function uuidOf(text: string, version: string): boolean {
  const pattern = `^[0-9a-f]{8}-?[0-9a-f]{4}-?${version}[0-9a-f]{3}-?`;
  const rest = version === "3" ? "[0-9a-f]{4}" : "[89ab][0-9a-f]{3}";
  return new RegExp(`${pattern}${rest}-?[0-9a-f]{12}$`, "i").test(text);
}

/** An absolute URI, or a path, as Go's `url.ParseRequestURI` takes them. */
export function isUri(text: string): boolean {
  if (/[\s\p{Cc}]/u.test(text)) return false;
  return text.startsWith("/") || URL.canParse(text);
}

function isHostName(text: string): boolean {
  if (text.length > 255) return false;
  return text.split(".").every((part) => /^[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?$/i.test(part));
}

function isIsbn10(text: string): boolean {
  const digits = text.replace(/[\s-]/g, "");
  if (!/^\d{9}[\dX]$/.test(digits)) return false;
  const sum = Array.from(digits).reduce(
    (total, digit, index) => total + (10 - index) * (digit === "X" ? 10 : Number(digit)),
    0,
  );
  return sum % 11 === 0;
}

function isIsbn13(text: string): boolean {
  const digits = text.replace(/[\s-]/g, "");
  if (!/^\d{13}$/.test(digits)) return false;
  const sum = Array.from(digits).reduce(
    (total, digit, index) => total + Number(digit) * (index % 2 === 0 ? 1 : 3),
    0,
  );
  return sum % 10 === 0;
}

function isCardNumber(text: string): boolean {
  const digits = text.replace(/\D/g, "");
  if (digits.length < 13 || digits.length > 19) return false;
  let sum = 0;
  for (const [index, digit] of Array.from(digits).reverse().entries()) {
    const doubled = Number(digit) * (index % 2 === 0 ? 1 : 2);
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

function isRgbColor(text: string): boolean {
  const match = /^rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)$/.exec(text);
  return match?.slice(1).every((part) => Number(part) <= 255) ?? false;
}
