/** Headless Chromium, and what a page has to keep: no error, no stranger asked, nothing overlaps. */
import { mkdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { locate, needs } from "./needs.ts";

export const needsBrowser = needs("chromium", "chromium");

export async function startBrowser(): Promise<Browser> {
  // Root has no sandbox there, and all pages are our own.
  const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
  return await chromium.launch({ executablePath: locate("chromium") ?? "", args });
}

/** Pictures and pages are kept here, for people to look at. */
const artefacts = process.env["TRIREME_ARTEFACTS"] ?? join(tmpdir(), "trireme-artefacts");

/** Where a file of this name is kept. */
export function artefact(name: string): string {
  mkdirSync(artefacts, { recursive: true });
  return join(artefacts, name);
}

export async function picture(page: Page, name: string): Promise<Buffer> {
  return await page.screenshot({ path: artefact(`${name}.png`), fullPage: true });
}

export interface Watched {
  readonly errors: string[];
  /** URLs that the page asked for. */
  readonly requests: string[];
}

export function watch(page: Page): Watched {
  const watched: Watched = { errors: [], requests: [] };
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning")
      watched.errors.push(message.text());
  });
  page.on("pageerror", (error) => watched.errors.push(error.message));
  page.on("request", (request) => watched.requests.push(request.url()));
  return watched;
}

const misplacedSource = readFileSync(join(import.meta.dirname, "misplaced-texts.js"), "utf8");

/** Texts of the page that lie over one another, or beyond their drawing or the page. */
export async function misplacedTexts(page: Page): Promise<string[]> {
  return await page.evaluate<string[]>(misplacedSource);
}
