/**
 * A browser that does what it is told, line by line: for tests that change the world
 * between two steps (tests/support/browser.py).
 *
 *     {"do": "open", "url": "...", "view": "light", "now": 1795417200}
 *     {"do": "give", "files": {"#policy-file": "/tmp/policy.toml"}}     or a folder
 *     {"do": "fill", "fields": {"#nonce": "00ff"}}
 *     {"do": "click", "what": "#check"}          and wait until nothing is busy
 *     {"do": "text", "what": "#report"}          null: it is not there, or not shown
 *     {"do": "picture", "path": "...", "what": "#report"}      the top of it
 *     {"do": "forget"}                           what earlier visits left
 *     {"do": "wrong"}                            what is wrong with the page, so far
 *     {"do": "asked"}                            every address that was asked, so far
 *
 * Each line is answered by one, {"ok": ...} or {"error": "..."}. Pages that are opened
 * share one profile, as visits of one person do; `now` is that person's clock.
 */

import { createRequire } from "node:module";
import { readFile, stat } from "node:fs/promises";
import process from "node:process";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";
import { BROWSER, FLAGS, MOST, SERIOUS, VIEWS } from "./browser.js";

const PATIENCE = 30_000;

const require = createRequire(import.meta.url);
const [folder] = process.argv.slice(2);
const context = await chromium.launchPersistentContext(folder, {
  executablePath: BROWSER,
  args: FLAGS,
  headless: true,
});
context.setDefaultTimeout(PATIENCE);
let page = context.pages()[0] ?? (await context.newPage());
let [wrong, asked] = [[], []];
/** How a picture is to be taken, if otherwise than on a screen; people use a screen. */
let media = null;

function watch() {
  page.on("request", (request) => {
    if (!request.url().startsWith("blob:")) asked.push(request.url());
  });
  page.on("console", (message) => {
    // A file that is not there is an answer like others; what a policy forbids is not.
    const missing = /Failed to load resource|blocked by CORS/.test(message.text());
    if (message.type() === "error" && !missing) wrong.push(message.text());
  });
  page.on("pageerror", (error) => wrong.push(error.message));
  page.on("dialog", async (dialog) => {
    wrong.push(`dialog: ${dialog.message()}`);
    await dialog.dismiss();
  });
}

async function isFolder(path) {
  return (await stat(path)).isDirectory();
}

/** As the debugger does it: no script can make a file that is a folder. */
async function giveFolder(what, path) {
  const session = await context.newCDPSession(page);
  const { root } = await session.send("DOM.getDocument");
  const place = { nodeId: root.nodeId, selector: what };
  const { nodeId } = await session.send("DOM.querySelector", place);
  await session.send("DOM.setFileInputFiles", { files: [path], nodeId });
  await session.detach();
}

async function dropFolder(path) {
  const session = await context.newCDPSession(page);
  const data = { items: [], files: [path], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) {
    await session.send("Input.dispatchDragEvent", { type, x: 9, y: 9, data });
  }
  await session.detach();
}

const steps = {
  async open({ url, view = "light", now }) {
    await page.close();
    page = await context.newPage();
    [wrong, asked] = [[], []];
    watch();
    const { colorScheme, viewport } = VIEWS[view];
    media = VIEWS[view].media ?? null;
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(viewport);
    if (now !== undefined) await page.clock.setFixedTime(now * 1000);
    await page.goto(url, { waitUntil: "load" });
    return page.title();
  },
  async give({ files }) {
    for (const [what, path] of Object.entries(files)) {
      if (await isFolder(path)) await giveFolder(what, path);
      else await page.setInputFiles(what, path);
    }
  },
  async drop({ paths }) {
    if (paths.length === 1 && (await isFolder(paths[0]))) await dropFolder(paths[0]);
    else await this.dropFiles(paths);
    await page.waitForSelector("form:not([aria-busy])");
  },
  async dropFiles(paths) {
    const files = await Promise.all(
      paths.map(async (path) => [path.split("/").at(-1), [...(await readFile(path))]]),
    );
    await page.evaluate((given) => {
      const dropped = new DataTransfer();
      for (const [name, bytes] of given) {
        dropped.items.add(new File([new Uint8Array(bytes)], name));
      }
      const event = { bubbles: true, cancelable: true, dataTransfer: dropped };
      document.body.dispatchEvent(new DragEvent("drop", event));
    }, files);
  },
  async fill({ fields }) {
    for (const [what, text] of Object.entries(fields)) await page.fill(what, text);
  },
  async choose({ what, value }) {
    await page.selectOption(what, value);
  },
  /** As if nobody had been here before. */
  async forget() {
    await page.evaluate(() => localStorage.clear());
  },
  async click({ what }) {
    await page.click(what);
    await page.waitForSelector("form:not([aria-busy])");
  },
  async text({ what }) {
    const found = page.locator(what);
    return (await found.count()) && (await found.first().isVisible())
      ? found.first().innerText()
      : null;
  },
  async texts({ what }) {
    return page.locator(what).allInnerTexts();
  },
  async elements({ what }) {
    return page.locator(what).count();
  },
  /** What a link lets people save, as base64. */
  async saved({ what }) {
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.click(what),
    ]);
    return (await readFile(await download.path())).toString("base64");
  },
  /** What comes after a picture on paper is asked of the paper. */
  async picture({ path, what }) {
    await page.emulateMedia({ media });
    const clip = await page.evaluate(
      ([selector, most]) => {
        const box = document.querySelector(selector).getBoundingClientRect();
        const whole = document.documentElement.scrollHeight;
        const y = Math.max(0, box.top + window.scrollY - 16);
        const height = Math.min(box.height + 32, most, whole - y);
        return { x: 0, y, width: window.innerWidth, height };
      },
      [what, MOST],
    );
    await page.screenshot({ path, fullPage: true, clip });
  },
  async wrong() {
    const cookies = await context.cookies();
    const wide = await page.evaluate(
      () => document.documentElement.scrollWidth - window.innerWidth,
    );
    // By the debugger, which no policy of a page keeps out.
    await page.evaluate(await readFile(require.resolve("axe-core/axe.min.js"), "utf8"));
    const { violations } = await page.evaluate(() => window.axe.run());
    return [
      ...wrong,
      ...(cookies.length > 0 ? ["sets a cookie"] : []),
      ...(wide > 0 ? [`is ${wide} pixels wider than the window`] : []),
      ...violations
        .filter(({ impact }) => SERIOUS.has(impact))
        .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`),
    ];
  },
  async asked() {
    return asked;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = { ok: (await steps[name](rest)) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await context.close();
