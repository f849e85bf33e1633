/** The live page of a real cluster in a browser: a leader that is killed, a load that is started. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import type { Endpoints } from "../../services/cli/endpoints.ts";
import { trireme } from "../cli/run-program.ts";
import { freeBasePort } from "../ports.ts";
import {
  misplacedTexts,
  needsBrowser,
  picture,
  startBrowser,
  type Watched,
  watch,
} from "./browser.ts";

const shownMillisMax = 500;
const waitMillis = 60_000;

describe("the bridge", needsBrowser, () => {
  const folder = mkdtempSync(join(tmpdir(), "trireme-bridge-"));
  const file = <T>(name: string) => JSON.parse(readFileSync(join(folder, name), "utf8")) as T;
  let browser: Browser;
  let page: Page;
  let watched: Watched;

  before(async () => {
    const basePort = String(await freeBasePort());
    const args = ["--base-port", basePort, "--nodes", "1", "--data-dir", folder];
    const { code, stdout, stderr } = await trireme("up", "--detach", ...args);
    assert.equal(code, 0, stderr);
    const { url } = file<{ url: string }>("bridge.json");
    assert.ok(stdout.includes(`bridge         ${url}`), stdout);
    browser = await startBrowser();
    page = await browser.newPage({ viewport: { width: 1_200, height: 900 } });
    page.setDefaultTimeout(waitMillis);
    watched = watch(page);
    await page.goto(url);
  });
  after(async () => {
    await browser?.close();
    await trireme("down", "--data-dir", folder);
    rmSync(folder, { recursive: true });
  });

  const leads = (name: string) => page.waitForSelector(`.card.leader[data-master="${name}"]`);

  test("masters, nodes and live curves are shown, and nothing overlaps", async () => {
    const leader =
      file<Endpoints>("endpoints.json").masters.find((each) => each.leader)?.name ?? "";
    await leads(leader);
    assert.equal(await page.locator("[data-master]").count(), 3);
    await page.waitForSelector("text=node-0");
    await page.waitForFunction("document.querySelectorAll('.chart canvas').length === 3");
    for (const width of [1_200, 400]) {
      await page.setViewportSize({ width, height: 900 });
      assert.deepEqual(await misplacedTexts(page), []);
      await picture(page, `bridge-${width}`);
    }
    assert.deepEqual(watched.errors, []);
    const { origin } = new URL(page.url());
    const strangers = watched.requests.filter((url) => !/^(data|blob):/.test(url));
    assert.deepEqual(
      strangers.filter((url) => new URL(url).origin !== origin),
      [],
    );
  });

  test("the kill of the leader is shown within half a second, and explained", async () => {
    const { masters } = file<Endpoints>("endpoints.json");
    const victim = masters.find(({ leader }) => leader);
    assert.ok(victim?.pid !== undefined);
    await leads(victim.name);
    // The page notes itself when it shows it: a test that asks would come late.
    await page.evaluate(
      `
      globalThis.shownAt = new Promise((resolve) => {
        const shown = () => document.querySelector('[data-master="${victim.name}"].away');
        new MutationObserver(() => shown() && resolve(Date.now()))
          .observe(document.body, { subtree: true, childList: true, attributes: true });
      })`.concat("; undefined"),
    );
    const killedAt = Date.now();
    process.kill(victim.pid, "SIGKILL");
    const shownAt = await page.evaluate<number>("globalThis.shownAt");
    assert.ok(shownAt - killedAt <= shownMillisMax, `shown after ${shownAt - killedAt} ms`);
    const outage = page.locator('[data-kind="outage"]').first();
    await outage.waitFor();
    const text = await outage.textContent();
    assert.match(
      text ?? "",
      new RegExp(`there was no leader, .*: ${victim.name} was ended by SIGKILL`),
    );
    await picture(page, "bridge-after-kill");
    // It comes back, and the page says so.
    await page.waitForSelector(`[data-master="${victim.name}"][data-up="true"]`);
  });

  test("a load is started from the page, and its report is opened", async () => {
    const form = page.locator('form[data-start="load"]');
    await form.locator("input").fill("1s");
    await form.locator("button").click();
    const popup = page.waitForEvent("popup");
    await page.locator("text=open its report").click();
    const report = await popup;
    await report.waitForSelector("text=load put");
    assert.match(
      (await report.locator(".verdict").textContent()) ?? "",
      /put: grpc:\/\/.* calls\/s/,
    );
    assert.deepEqual(await misplacedTexts(report), []);
    await picture(report, "bridge-report");
  });

  test("a drill is started from the page, strikes this cluster, and its report is opened", async () => {
    const before = file<Endpoints>("endpoints.json").masters.map(({ pid }) => pid);
    const form = page.locator('form[data-start="drill"]');
    await form.locator("select").selectOption("follower-kill");
    await form.locator("button").click();
    const popup = page.waitForEvent("popup");
    await page
      .locator("[data-run]", { hasText: "follower-kill" })
      .locator("text=open its report")
      .click();
    const report = await popup;
    const verdict = (await report.locator(".verdict").textContent()) ?? "";
    assert.match(verdict, / follower-kill (?:passed|failed|is void)/);
    assert.deepEqual(await misplacedTexts(report), []);
    await picture(report, "bridge-drill-report");
    const now = file<Endpoints>("endpoints.json").masters.map(({ pid }) => pid);
    assert.equal(now.filter((pid) => !before.includes(pid)).length, 1, "one master is another one");
  });
});
