/** URLs as Go's net/url takes them apart, with its words for what it refuses. */

export interface UrlParts {
  /** In lower case, without the colon. */
  readonly scheme: string;
  /** With the port, if there is one. */
  readonly host: string;
  readonly user: string | undefined;
  readonly query: string;
  readonly fragment: string;
}

class UrlError extends Error {}

/** Answers the parts, or why the text is no URL. */
export function parseUrl(text: string): UrlParts | string {
  const hash = text.indexOf("#");
  const whole = hash < 0 ? text : text.slice(0, hash);
  const fragment = hash < 0 ? "" : text.slice(hash + 1);
  try {
    const parts = { ...parseWhole(whole), fragment };
    checkEscapes(fragment);
    return parts;
  } catch (thrown) {
    if (!(thrown instanceof UrlError)) throw thrown;
    return `parse ${JSON.stringify(whole)}: ${thrown.message}`;
  }
}

function parseWhole(text: string): Omit<UrlParts, "fragment"> {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are refused
  if (/[\u0000-\u001f\u007f]/.test(text)) {
    throw new UrlError("net/url: invalid control character in URL");
  }
  if (text.startsWith(":")) throw new UrlError("missing protocol scheme");
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1] ?? "";
  const rest = scheme === "" ? text : text.slice(scheme.length + 1);
  const mark = rest.indexOf("?");
  const query = mark < 0 ? "" : rest.slice(mark + 1);
  const path = mark < 0 ? rest : rest.slice(0, mark);
  const parts = { scheme: scheme.toLowerCase(), host: "", user: undefined, query };
  if (!path.startsWith("/")) {
    if (scheme !== "") return parts;
    if (path.split("/")[0]?.includes(":")) {
      throw new UrlError("first path segment in URL cannot contain colon");
    }
  }
  if (!path.startsWith("//") || (scheme === "" && path.startsWith("///"))) {
    checkEscapes(path);
    return parts;
  }
  const end = path.indexOf("/", 2);
  const authority = end < 0 ? path.slice(2) : path.slice(2, end);
  const found = parseAuthority(authority);
  if (end >= 0) checkEscapes(path.slice(end));
  return { ...parts, ...found };
}

function parseAuthority(text: string): Pick<UrlParts, "host" | "user"> {
  const at = text.lastIndexOf("@");
  const host = text.slice(at + 1);
  checkHost(host);
  if (at < 0) return { host, user: undefined };
  const user = text.slice(0, at);
  if (!/^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(user)) {
    throw new UrlError("net/url: invalid userinfo");
  }
  checkEscapes(user);
  return { host, user };
}

function checkHost(host: string): void {
  const bracket = host.lastIndexOf("]");
  if (host.startsWith("[") && bracket < 0) throw new UrlError("missing ']' in host");
  const after = host.startsWith("[") ? host.slice(bracket + 1) : host;
  const colon = after.lastIndexOf(":");
  const port = host.startsWith("[") ? after : colon < 0 ? "" : after.slice(colon);
  if (!/^(?::[0-9]*)?$/.test(port)) {
    throw new UrlError(`invalid port ${JSON.stringify(port)} after host`);
  }
  const escaped = /%.{0,2}/.exec(host)?.[0];
  // Only bytes beyond ASCII may be escaped in a host.
  if (escaped !== undefined && !/^%[89A-Fa-f][0-9A-Fa-f]$/.test(escaped)) {
    throw new UrlError(`invalid URL escape ${JSON.stringify(escaped)}`);
  }
  const wrong = /[\0-\x7f]/.exec(host.replace(/[A-Za-z0-9\-_.~!$&'()*+,;=:[\]<>"%]/g, ""))?.[0];
  if (wrong === undefined) return;
  throw new UrlError(`invalid character ${JSON.stringify(wrong)} in host name`);
}

function checkEscapes(text: string): void {
  const wrong = /%(?![0-9A-Fa-f]{2}).{0,2}/.exec(text)?.[0];
  if (wrong !== undefined) throw new UrlError(`invalid URL escape ${JSON.stringify(wrong)}`);
}
