/**
 * The chain of trust as a picture: eight links, their states, and where trust ends.
 *
 * The states differ in shape and mark, too, for whoever sees no colours; the picture has
 * its words in the list below it.
 */

import { drawn, element } from "./elements.js";
import { GROUND, MEANS, QUESTIONS, capital, joined } from "./words.js";

/** @import { Link, Report } from "../verifier/verification/report.js" */

const STEP = 84;
const ROW = 112;
const MIDDLE = 34;
const RADIUS = 20;
const LINKS = 8;
const MARKS = { proven: "✓", claimed: "?", missing: "", unchecked: "·", failed: "×" };

/**
 * The links side by side; on a phone, in two rows.
 * @param {Report} report
 */
export function picture(report) {
  const { links, trust_ends_at: ends } = report;
  const said = ends === 0 ? "Nothing is proven" : `Trust ends at link ${ends}`;
  return element(
    "figure",
    { class: "picture" },
    drawing(report, LINKS, "one-row"),
    drawing(report, LINKS / 2, "two-rows"),
    element("figcaption", {}, ends === links.length ? "All seven are proven" : said),
  );
}

/**
 * @param {Report} report
 * @param {number} columns
 * @param {string} kind
 */
function drawing({ links, ground: word, trust_ends_at: ends }, columns, kind) {
  const words = links.map(({ number, name, status }) => `${number} ${name}: ${status}`);
  const label = `The chain of trust. ${words.join(". ")}. 8 ground: ${word}.`;
  const shapes = [];
  for (const { number } of links) {
    const [x, y] = centre(number, columns);
    // The ground is no rung: nothing leads to it. Nor is a line led around a corner.
    if (number === links.length || number % columns === 0) continue;
    const d = `M${x + RADIUS} ${y}H${x + STEP - RADIUS}`;
    shapes.push(drawn("path", { class: number < ends ? "rail held" : "rail", d }));
  }
  if (ends > 0) {
    const [x, y] = centre(ends, columns);
    const d = `M${x + STEP / 2 - 1} ${y - MIDDLE + 6}V${y + 62}`;
    shapes.push(drawn("path", { class: "edge", d }));
  }
  for (const { number, name, status } of links) {
    shapes.push(node(number, columns, name, status));
  }
  shapes.push(node(LINKS, columns, "ground", `ground ${word}`));
  const height = ROW * (LINKS / columns) - 8;
  const viewBox = `0 0 ${STEP * columns} ${height}`;
  const attributes = { class: `trust ${kind}`, viewBox, role: "img" };
  return drawn("svg", { ...attributes, "aria-label": label }, ...shapes);
}

/**
 * @param {number} number
 * @param {number} columns
 * @returns {[x: number, y: number]}
 */
function centre(number, columns) {
  const column = (number - 1) % columns;
  const row = Math.floor((number - 1) / columns);
  return [STEP * (column + 0.5), MIDDLE + ROW * row];
}

/**
 * @param {number} number
 * @param {number} columns
 * @param {string} name
 * @param {string} state
 */
function node(number, columns, name, state) {
  const [x, y] = centre(number, columns);
  const corner = { x: `${x - RADIUS}`, y: `${y - RADIUS}` };
  const size = { width: `${2 * RADIUS}`, height: `${2 * RADIUS}`, rx: "5" };
  const middle = { cx: `${x}`, cy: `${y}`, r: `${RADIUS}` };
  const shape =
    number === LINKS
      ? drawn("rect", { class: "node", ...corner, ...size })
      : drawn("circle", { class: "node", ...middle });
  const mark = state in MARKS ? MARKS[/** @type {keyof typeof MARKS} */ (state)] : "";
  return drawn(
    "g",
    { class: state },
    shape,
    drawn("text", { class: "mark", x: `${x}`, y: `${y + 6}` }, mark || `${number}`),
    ...name
      .split(" ")
      .map((line, at) =>
        drawn("text", { class: "label", x: `${x}`, y: `${y + 40 + 15 * at}` }, line),
      ),
  );
}

/**
 * The links below one another, in words.
 * @param {Report} report
 */
export function ladder(report) {
  const rows = [];
  const end = element("li", { class: "end" }, element("span", {}, "Trust ends here"));
  if (report.trust_ends_at === 0) rows.push(end);
  for (const link of report.links) {
    rows.push(rung(link, link.number < report.trust_ends_at));
    if (link.number === report.trust_ends_at) rows.push(end);
  }
  rows.push(ground(report));
  return element("ol", { class: "links" }, ...rows);
}

/**
 * @param {Link} link
 * @param {boolean} held
 */
function rung({ number, name, status, by, evidence, next }, held) {
  const who = joined(by.map((one) => (one === "run" ? "this run" : one)));
  const verb = { proven: "Proven", claimed: "Claimed", failed: "Found" };
  const lead = verb[/** @type {keyof typeof verb} */ (status)] ?? "Said";
  const entries = evidence.map(({ index }) => `entry ${index}`).join(", ");
  return element(
    "li",
    { class: held ? `${status} held` : status },
    element("span", { class: "at", "aria-hidden": "true" }, `${number}`),
    element(
      "h4",
      {},
      element("span", { class: "skip" }, `Link ${number}: `),
      capital(name),
      " ",
      element("span", { class: "state" }, status),
    ),
    element("p", { class: "soft" }, QUESTIONS[number] ?? ""),
    MEANS[status] !== "" && element("p", {}, MEANS[status]),
    who !== "" &&
      element(
        "p",
        {},
        `${lead} by ${who}.`,
        entries && element("span", { class: "soft" }, ` (${entries})`),
      ),
    next !== "" && element("p", { class: "next" }, `Next: ${next}.`),
  );
}

/** @param {Report} report */
function ground({ ground: word, infrastructure: { maker, operator, forgers } }) {
  return element(
    "li",
    { class: `ground ${word}` },
    element("span", { class: "at", "aria-hidden": "true" }, "8"),
    element(
      "h4",
      {},
      element("span", { class: "skip" }, "Link 8: "),
      "Ground ",
      element("span", { class: "state" }, word),
    ),
    element("p", {}, GROUND[word]),
    maker !== null &&
      element(
        "p",
        { class: "soft" },
        `Made by ${maker}; run by ${operator ?? "whom nobody names"}.`,
      ),
    forgers.length > 0 &&
      element("p", { class: "soft" }, `Who could forge it: ${forgers.join("; ")}.`),
  );
}
