/**
 * Looks at pages as people do, in Debian's Chromium, and says what is wrong with them.
 *
 *     node look.js URL FOLDER < pages.json
 *
 * pages.json maps names to paths below URL. Each page is opened in light and dark and as
 * on a phone; FOLDER gets a screenshot of each. To stdout goes JSON: by page, whatever
 * is wrong. Nothing may be asked of another host, no cookie be set, nothing run into the
 * page's own policy, nothing be wider than the window, and axe-core find nothing
 * serious.
 *
 * The pictures are for people to look at; what is found does not depend on them.
 */

import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { chromium } from "playwright-core";
import { BROWSER, FLAGS, MOST, SERIOUS, VIEWS } from "./browser.js";

const require = createRequire(import.meta.url);
const axe = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");

/** As much of a page as a picture shows. */
async function top(page) {
  const [width, height] = await page.evaluate(() => [
    window.innerWidth,
    document.documentElement.scrollHeight,
  ]);
  return { x: 0, y: 0, width, height: Math.min(height, MOST) };
}

/** What is wrong with one page in one view; its picture is written. */
async function look(context, url, picture) {
  const wrong = [];
  const page = await context.newPage();
  const origin = new URL(url).origin;
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== origin) wrong.push(`asks ${request.url()}`);
  });
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of 404/.test(message.text())) {
      wrong.push(`console: ${message.text()}`);
    }
  });
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  await page.goto(url, { waitUntil: "load" });
  await page.screenshot({ path: picture, fullPage: true, clip: await top(page) });
  if ((await context.cookies()).length) wrong.push("sets a cookie");
  const wide = await page.evaluate(
    () => document.documentElement.scrollWidth - window.innerWidth,
  );
  if (wide > 0) wrong.push(`is ${wide} pixels wider than the window`);
  // By the debugger, which no policy of a page keeps out.
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  for (const one of violations.filter(({ impact }) => SERIOUS.has(impact))) {
    wrong.push(`${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`);
  }
  await page.close();
  return wrong;
}

const [url, folder] = process.argv.slice(2);
let input = "";
for await (const chunk of process.stdin) input += chunk;
const browser = await chromium.launch({ executablePath: BROWSER, args: FLAGS });
const found = {};
try {
  for (const [view, options] of Object.entries(VIEWS)) {
    const context = await browser.newContext(options);
    for (const [name, path] of Object.entries(JSON.parse(input))) {
      const picture = join(folder, `${name}-${view}.png`);
      found[`${name}-${view}`] = await look(context, url + path, picture);
    }
    await context.close();
  }
} finally {
  await browser.close();
}
process.stdout.write(`${JSON.stringify(found)}\n`);
