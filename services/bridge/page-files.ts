/** The page and the libraries it is made of, served as the packages bring them. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);
const packageFolder = (name: string) => {
  let folder = dirname(require.resolve(name));
  while (!folder.endsWith(join("node_modules", ...name.split("/")))) folder = dirname(folder);
  return folder;
};

/** Names that modules import, and the files behind them. */
const libraries: Readonly<Record<string, readonly [name: string, file: string]>> = {
  preact: ["preact", "dist/preact.mjs"],
  "preact/hooks": ["preact", "hooks/dist/hooks.mjs"],
  "@preact/signals-core": ["@preact/signals-core", "dist/signals-core.mjs"],
  "@preact/signals": ["@preact/signals", "dist/signals.mjs"],
  uplot: ["uplot", "dist/uPlot.esm.js"],
};

const urlOf = (name: string) => `/modules/${name.replace(/[@/]/g, "_")}.js`;
const importMap = JSON.stringify({
  imports: Object.fromEntries(Object.keys(libraries).map((name) => [name, urlOf(name)])),
});
const mapHash = createHash("sha256").update(importMap).digest("base64");

/** Scripts of this origin alone; styles also inline, for reports and charts have their own. */
export const contentSecurityPolicy =
  `default-src 'none'; script-src 'self' 'sha256-${mapHash}'; style-src 'self' 'unsafe-inline'; ` +
  "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; " +
  "frame-ancestors 'none'";

export interface PageFile {
  readonly type: string;
  readonly text: string;
}

const script = "text/javascript; charset=utf-8";

/** By path. Read once: the files do not change while the program runs. */
export function readPageFiles(): ReadonlyMap<string, PageFile> {
  const own = (name: string) => readFileSync(join(import.meta.dirname, "page", name), "utf8");
  const index = own("index.html").replace('"IMPORT_MAP"', () => importMap);
  const files = new Map<string, PageFile>([
    ["/", { type: "text/html; charset=utf-8", text: index }],
    ["/app.js", { type: script, text: own("app.js") }],
    ["/charts.js", { type: script, text: own("charts.js") }],
    ["/style.css", { type: "text/css; charset=utf-8", text: own("style.css") }],
  ]);
  const uplotStyle = join(packageFolder("uplot"), "dist/uPlot.min.css");
  files.set("/uplot.css", { type: "text/css", text: readFileSync(uplotStyle, "utf8") });
  for (const [name, [library, file]] of Object.entries(libraries)) {
    const text = readFileSync(join(packageFolder(library), file), "utf8");
    files.set(urlOf(name), { type: script, text: text.replace(/\n\/\/# sourceMappingURL=.*/, "") });
  }
  return files;
}
