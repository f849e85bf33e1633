/** URLs: absolute ones and paths, as Go's `url.ParseRequestURI` takes them. */
import type { Environment } from "@marcbachmann/cel-js";
import { isUri } from "../../structural/formats.ts";
import { define, spendOnText } from "./define.ts";

class UrlValue {
  readonly text: string;
  /** Of a path: with a host that is not told. */
  readonly parsed: URL;

  constructor(text: string) {
    this.text = text;
    this.parsed = new URL(text, "http://none.invalid");
  }

  get relative(): boolean {
    return this.text.startsWith("/");
  }

  /** As it was written: the parser leaves out ports that a scheme has anyway. */
  get host(): string {
    if (this.relative) return "";
    return /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#]*)/i.exec(this.text)?.[1] ?? "";
  }

  toString(): string {
    return this.text;
  }
}

export function registerUrls(environment: Environment): void {
  const type = "kubernetes.URL";
  environment.registerType(type, { ctor: UrlValue, fields: {} });
  environment.registerOperator(
    `${type} == ${type}`,
    (one: UrlValue, other: UrlValue) => one.text === other.text,
  );
  define(environment, {
    [`url(string): ${type}`]: (text: string) => {
      spendOnText(text);
      if (isUri(text)) return new UrlValue(text);
      throw new Error(
        `URL parse error during conversion from string: parse "${text}": invalid URI`,
      );
    },
    "isURL(string): bool": (text: string) => {
      spendOnText(text);
      return isUri(text);
    },
    [`${type}.getScheme(): string`]: (url: UrlValue) =>
      url.relative ? "" : url.parsed.protocol.slice(0, -1),
    [`${type}.getHost(): string`]: (url: UrlValue) => url.host,
    [`${type}.getHostname(): string`]: (url: UrlValue) =>
      url.relative ? "" : url.host.replace(/:\d*$/, "").replace(/^\[|\]$/g, ""),
    [`${type}.getPort(): string`]: (url: UrlValue) => /:(\d+)$/.exec(url.host)?.[1] ?? "",
    [`${type}.getEscapedPath(): string`]: (url: UrlValue) =>
      url.parsed.pathname === "/" && !/[^/]\/([?#]|$)/.test(url.text) && !url.relative
        ? ""
        : url.parsed.pathname,
    [`${type}.getQuery(): map<string, list<string>>`]: (url: UrlValue) => {
      const query: Record<string, string[]> = {};
      for (const name of new Set(url.parsed.searchParams.keys())) {
        query[name] = url.parsed.searchParams.getAll(name);
      }
      return query;
    },
  });
}
