/**
 * The syntax of names, in the rules and words of apimachinery `util/validation`. Each check returns
 * what is wrong; nothing: valid.
 */
import { isIP } from "node:net";

const labelPattern = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const serviceLabelPattern = "[a-z]([-a-z0-9]*[a-z0-9])?";
const qualifiedPattern = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const configKeyPattern = "[-._a-zA-Z0-9]+";
const headerPattern = "[-A-Za-z0-9]+";

const subdomainPattern = `${labelPattern}(\\.${labelPattern})*`;
const labelValuePattern = `(${qualifiedPattern})?`;

interface Syntax {
  readonly expression: RegExp;
  readonly lengthMax: number;
  readonly message: string;
}

function syntax(
  pattern: string,
  lengthMax: number,
  rule: string,
  ...examples: readonly string[]
): Syntax {
  const shown = examples.map((example) => `'${example}', `).join(" or ");
  const message = `${rule} (e.g. ${shown}regex used for validation is '${pattern}')`;
  return { expression: new RegExp(`^(?:${pattern})$`), lengthMax, message };
}

/** Longer texts are too long for every syntax, and only told so. */
const matchedMax = 4096;

function check({ expression, lengthMax, message }: Syntax, value: string): string[] {
  const problems = value.length > lengthMax ? [lengthMessage(lengthMax)] : [];
  // A value far too long is not worth matching.
  if (value.length <= matchedMax && !expression.test(value)) problems.push(message);
  return problems;
}

function lengthMessage(lengthMax: number): string {
  return `must be no more than ${lengthMax} characters`;
}

const label = syntax(
  labelPattern,
  63,
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and " +
    "must start and end with an alphanumeric character",
  "my-name",
  "123-abc",
);
const subdomain = syntax(
  subdomainPattern,
  253,
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or " +
    "'.', and must start and end with an alphanumeric character",
  "example.com",
);
const underscoreLabel = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
const underscoreSubdomain = syntax(
  `${underscoreLabel}(\\.${underscoreLabel})*`,
  253,
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' " +
    "or '.', and must start and end with an alphanumeric character",
  "example.com",
);
const wildcardSubdomain = syntax(
  `\\*\\.${subdomainPattern}`,
  253,
  "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which " +
    "must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric " +
    "character",
  "*.example.com",
);
const serviceLabel = syntax(
  serviceLabelPattern,
  63,
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an " +
    "alphabetic character, and end with an alphanumeric character",
  "my-name",
  "abc-123",
);
const qualifiedRule =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " +
  "alphanumeric character";
const qualifiedExamples = ["MyName", "my.name", "123-abc"] as const;
const namePart = syntax(qualifiedPattern, 63, `name part ${qualifiedRule}`, ...qualifiedExamples);
const qualified = syntax(
  qualifiedPattern,
  63,
  `a qualified name ${qualifiedRule}`,
  ...qualifiedExamples,
);
const value = syntax(
  labelValuePattern,
  63,
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or " +
    "'.', and must start and end with an alphanumeric character",
  "MyValue",
  "my_value",
  "12345",
);
const configKey = syntax(
  configKeyPattern,
  253,
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
  "key.name",
  "KEY_NAME",
  "key-name",
);
const header = syntax(
  headerPattern,
  Number.POSITIVE_INFINITY,
  "a valid HTTP header must consist of alphanumeric characters or '-'",
  "X-Header-Name",
);

export const checkLabelName = (text: string): string[] => check(label, text);
export const checkSubdomain = (text: string): string[] => check(subdomain, text);
/** `*.` and a subdomain: hosts of an Ingress. */
export const checkWildcardSubdomain = (text: string): string[] => check(wildcardSubdomain, text);
/** Search paths of a resolver. */
export const checkSubdomainWithUnderscores = (text: string): string[] =>
  check(underscoreSubdomain, text);
export const checkServiceName = (text: string): string[] => check(serviceLabel, text);
export const checkLabelValue = (text: string): string[] => check(value, text);
export const checkHeaderName = (text: string): string[] => check(header, text);

/** `name` or `prefix.example.com/name`: keys of labels, annotations, taints; finalizers. */
export function checkQualifiedName(text: string): string[] {
  const parts = text.split("/");
  if (parts.length > 2) {
    const prefix = "an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
    return [`${qualified.message} with ${prefix}`];
  }
  const problems: string[] = [];
  const [first = "", second] = parts;
  const name = second ?? first;
  if (second !== undefined) {
    if (first === "") problems.push("prefix part must be non-empty");
    else problems.push(...checkSubdomain(first).map((problem) => `prefix part ${problem}`));
  }
  if (name === "") problems.push("name part must be non-empty");
  else if (name.length > 63) problems.push(`name part ${lengthMessage(63)}`);
  if (!namePart.expression.test(name.slice(0, 256))) problems.push(namePart.message);
  return problems;
}

/** A name that can stand in a URL path. */
export function checkPathSegment(text: string): string[] {
  if (text === "." || text === "..") return [`may not be '${text}'`];
  return ["/", "%"]
    .filter((part) => text.includes(part))
    .map((part) => `may not contain '${part}'`);
}

/** A key of a ConfigMap or Secret: also a file name. */
export function checkConfigKey(text: string): string[] {
  const problems = check(configKey, text);
  if (text === "." || text === "..") problems.push(`must not be '${text}'`);
  else if (text.startsWith("..")) problems.push("must not start with '..'");
  return problems;
}

/** Printable ASCII without "=", as upstream since 1.34 (KEP-4369). */
export function checkEnvName(text: string): string[] {
  if (/^[ -<>-~]+$/.test(text)) return [];
  return [
    "a valid environment variable name must consist only of printable ASCII characters other " +
      "than '='",
  ];
}

/** IANA service name (RFC 6335 §5.1): names of ports. */
export function checkPortName(text: string): string[] {
  const problems: string[] = [];
  if (text.length > 15) problems.push(lengthMessage(15));
  if (!/^[-a-z0-9]+$/.test(text)) {
    problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  }
  if (!/[a-z]/.test(text)) problems.push("must contain at least one letter (a-z)");
  if (text.includes("--")) problems.push("must not contain consecutive hyphens");
  if (text.startsWith("-") || text.endsWith("-")) {
    problems.push("must not begin or end with a hyphen");
  }
  return problems;
}

export function checkPort(port: number): string[] {
  return port >= 1 && port <= 65_535 ? [] : ["must be between 1 and 65535, inclusive"];
}

export function checkAddress(text: string): string[] {
  return isIP(text) !== 0 ? [] : ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"];
}

/** The one way to write an IP address (RFC 5952 for IPv6), for addresses that are names. */
function checkCanonicalAddress(text: string): string[] {
  if (/^\d+(?:\.\d+){3}$/.test(text) && text.split(".").some((part) => /^0\d/.test(part))) {
    return ["must not have leading 0s"];
  }
  const problems = checkAddress(text);
  if (problems.length > 0 || !text.includes(":")) return problems;
  const canonical = new URL(`http://[${text}]`).hostname.slice(1, -1);
  return text === canonical ? [] : [`must be in canonical form (${JSON.stringify(canonical)})`];
}

/** How names of a kind are checked; see `Resource.nameRule`. */
export const nameRules = {
  label: checkLabelName,
  subdomain: checkSubdomain,
  path: checkPathSegment,
  service: checkServiceName,
  address: checkCanonicalAddress,
} as const;
