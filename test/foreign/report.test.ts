/** Reports in a browser: wide and narrow, light and dark, on paper. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import type { Browser } from "playwright-core";
import { renderReport } from "../../services/load/report/page.ts";
import { sampleDrill, sampleLoad } from "../load/sample-report.ts";
import { artefact, misplacedTexts, needsBrowser, picture, startBrowser, watch } from "./browser.ts";

const views = [
  { name: "wide", width: 1_100, colorScheme: "light", media: "screen" },
  { name: "narrow", width: 400, colorScheme: "dark", media: "screen" },
  { name: "dark", width: 1_100, colorScheme: "dark", media: "screen" },
  { name: "paper", width: 800, colorScheme: "dark", media: "print" },
] as const;

/** Relative luminance of `rgb(…)` (WCAG 2.2). */
function luminance(color: string): number {
  const [r = 0, g = 0, b = 0] = (color.match(/[\d.]+/g) ?? []).map((text) => {
    const share = Number(text) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

describe("reports", needsBrowser, () => {
  let browser: Browser;
  before(async () => {
    browser = await startBrowser();
  });
  after(async () => {
    await browser.close();
  });

  for (const [report, data] of Object.entries({ drill: sampleDrill(), load: sampleLoad() })) {
    for (const { name, width, colorScheme, media } of views) {
      test(`${report}, ${name}: nothing overlaps, nothing fails, nothing is fetched`, async () => {
        const file = artefact(`report-${report}.html`);
        writeFileSync(file, renderReport(data));
        const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
        await page.emulateMedia({ media, colorScheme });
        const { errors, requests } = watch(page);
        await page.goto(`file://${file}`);
        await picture(page, `report-${report}-${name}`);
        assert.deepEqual(await misplacedTexts(page), []);
        assert.deepEqual(errors, []);
        assert.deepEqual(
          requests.filter((url) => !url.startsWith("data:")),
          [`file://${file}`],
        );
        const [text, ground] = await page.evaluate<string[]>(
          "(({ color, backgroundColor }) => [color, backgroundColor])(getComputedStyle(document.body))",
        );
        const [high = 0, low = 0] = [luminance(text ?? ""), luminance(ground ?? "")].sort(
          (a, b) => b - a,
        );
        assert.ok((high + 0.05) / (low + 0.05) > 7, `${text} on ${ground}`);
        const isDark = luminance(ground ?? "") < 0.5;
        assert.equal(isDark, colorScheme === "dark" && media === "screen");
        await page.close();
      });
    }
  }

  test("areas that colour tells apart differ without it", async () => {
    const page = await browser.newPage();
    await page.setContent(renderReport(sampleLoad()));
    // Each series of areas, and slow and failed calls: a fill of its own, plain or a pattern.
    const fills = await page.evaluate<string[]>(`
      ["area0", "area1", "area2", "area3", "area4", "area5", "slow", "failed"].map((style) => {
        const area = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        area.setAttribute("class", style);
        document.querySelector("svg.chart").append(area);
        return getComputedStyle(area).fill;
      })`);
    assert.equal(new Set(fills).size, fills.length);
    assert.equal(fills.filter((fill) => fill.startsWith("url(")).length, fills.length - 1);
    await page.close();
  });
});
