/**
 * Looks at pages as people do, in Debian's Chromium, and says what is wrong with them.
 *
 *     node look.js URL FOLDER < pages.json
 *
 * pages.json maps names to paths below URL. Each page is opened in light and dark and as
 * on a phone and on paper; FOLDER gets a screenshot of each. To stdout goes JSON: by page,
 * whatever is wrong. Nothing may be asked of another host, no cookie be set, nothing run
 * into the page's own policy, nothing be wider than the window, and axe-core find nothing
 * serious; the keyboard reaches the page past its head, and shows where it is; on paper
 * there is nothing to click, and nothing is folded or cut off.
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

/** Links and fields that are walked to, from the top. */
const STEPS = 12;

/** As much of a page as a picture shows. */
async function top(page) {
  const [width, height] = await page.evaluate(() => [
    window.innerWidth,
    document.documentElement.scrollHeight,
  ]);
  return { x: 0, y: 0, width, height: Math.min(height, MOST) };
}

/** What is wrong for whoever has no mouse. */
async function byKeyboard(page) {
  const wrong = [];
  const seen = new Set();
  for (let step = 0; step < STEPS; step += 1) {
    await page.keyboard.press("Tab");
    const { name, shown } = await page.evaluate(() => {
      const at = document.activeElement;
      const box = at.getBoundingClientRect();
      const ring = getComputedStyle(at).outlineStyle !== "none";
      const name = `${at.tagName} ${at.getAttribute("href") ?? ""} ${at.textContent}`;
      return { name, shown: ring && box.left >= 0 && box.width > 0 };
    });
    if (step === 0 && !name.includes("#main")) wrong.push(`begins with ${name}`);
    if (name.startsWith("BODY") || seen.has(name)) break;
    seen.add(name);
    if (!shown) wrong.push(`does not show the focus on ${name}`);
  }
  return seen.size > 4 ? wrong : [...wrong, "lets the keyboard in nowhere"];
}

/** What paper cannot do: unfold, scroll, go on elsewhere. */
function onPaper() {
  const shows = (element) => element.checkVisibility({ contentVisibilityAuto: true });
  const all = (what) => [...document.querySelectorAll(what)];
  const printed = document.querySelector(".printed");
  return [
    ...all("nav, form, button, input, .actions")
      .filter(shows)
      .map((one) => `shows ${one.tagName}`),
    ...all("details > :not(summary)")
      .filter((one) => !shows(one))
      .map((one) => `folds ${one.className}`),
    ...all(".hash, pre, .scroll")
      .filter(
        (one) =>
          one.scrollWidth > one.clientWidth &&
          getComputedStyle(one).overflowX !== "visible",
      )
      .map((one) => `cuts off ${one.textContent}`),
    ...all('a[href^="http"]')
      .filter(
        (one) =>
          !getComputedStyle(one, "::after").content.includes(one.getAttribute("href")),
      )
      .map((one) => `hides the address ${one.href}`),
    ...(printed !== null && shows(printed) ? [] : ["does not say whence it is"]),
    ...(getComputedStyle(document.body).backgroundColor === "rgb(255, 255, 255)"
      ? []
      : ["is printed on dark paper"]),
  ];
}

/** What is wrong with one page in one view; its picture is written. */
async function look(context, url, picture, view) {
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
  const { media } = VIEWS[view];
  if (media) await page.emulateMedia({ media });
  await page.goto(url, { waitUntil: "load" });
  if (media === "print") wrong.push(...(await page.evaluate(onPaper)));
  await page.screenshot({ path: picture, fullPage: true, clip: await top(page) });
  if ((await context.cookies()).length) wrong.push("sets a cookie");
  const wide = await page.evaluate(
    () => document.documentElement.scrollWidth - window.innerWidth,
  );
  if (wide > 0) wrong.push(`is ${wide} pixels wider than the window`);
  if (view === "light") wrong.push(...(await byKeyboard(page)));
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
  for (const [view, { colorScheme, viewport }] of Object.entries(VIEWS)) {
    const context = await browser.newContext({ colorScheme, viewport });
    for (const [name, path] of Object.entries(JSON.parse(input))) {
      const picture = join(folder, `${name}-${view}.png`);
      found[`${name}-${view}`] = await look(context, url + path, picture, view);
    }
    await context.close();
  }
} finally {
  await browser.close();
}
process.stdout.write(`${JSON.stringify(found)}\n`);
