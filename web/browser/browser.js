/** The browser, and how pages are looked at in it: what look.js and drive.js share. */

import process from "node:process";

export const BROWSER = process.env.PCRLOG_BROWSER ?? "/usr/bin/chromium";
export const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** What differs between the ways to look; paper is as wide as A4 is without its margins. */
export const VIEWS = {
  light: { colorScheme: "light", viewport: { width: 1100, height: 800 } },
  dark: { colorScheme: "dark", viewport: { width: 1100, height: 800 } },
  phone: { colorScheme: "light", viewport: { width: 390, height: 800 } },
  paper: {
    colorScheme: "dark",
    viewport: { width: 700, height: 1000 },
    media: "print",
  },
};
/** Of what axe-core finds, what fails a test. */
export const SERIOUS = new Set(["serious", "critical"]);
/** Pixels that a picture is high, at most. */
export const MOST = 1400;
