/** What a report found, part by part: components, remarks, checks, and what it was about. */

import { formatTime } from "../verifier/encoding.js";
import { element, hash } from "./elements.js";
import { CHECK_STATES, sentence } from "./words.js";

/** @import { ComponentShown, Report, Share } from "../verifier/verification/report.js" */

const DIGEST = /\b[0-9a-f]{40,}\b/g;
const SHARES = { proven: "proven", claimed: "only claimed", missing: "nobody says" };

/**
 * @param {string} title
 * @param {HTMLElement[]} content
 */
export function section(title, ...content) {
  return element("section", {}, element("h3", {}, title), ...content);
}

/** @param {Report} report */
export function components({ components: rows }) {
  if (rows.length === 0) return [];
  const head = ["Part", "Rebuilt (link 5)", "Reviewed (link 6)"];
  return [
    section(
      "Its parts, made elsewhere",
      element(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": "Its parts" },
        element(
          "table",
          {},
          element("thead", {}, element("tr", {}, ...head.map(column))),
          element("tbody", {}, ...rows.map(part)),
        ),
      ),
    ),
  ];
}

/** @param {string} name */
function column(name) {
  return element("th", { scope: "col" }, name);
}

/** @param {ComponentShown} row */
function part({ product, sha256, version, depth, links }) {
  const name = version === null ? product : `${product} ${version}`;
  const deeper = depth > 1 ? `${"↳ ".repeat(depth - 1)}` : "";
  return element(
    "tr",
    {},
    element("td", {}, `${deeper}${name} `, hash(sha256)),
    ...links.map(share),
  );
}

/** @param {Share} one */
function share({ status: state, found }) {
  const words =
    state in SHARES ? SHARES[/** @type {keyof typeof SHARES} */ (state)] : state;
  return element(
    "td",
    { class: state },
    element("span", { class: "state" }, words),
    found !== "" && element("span", { class: "soft" }, ` ${found}`),
  );
}

/** @param {Report} report */
export function remarks({ remarks: said }) {
  if (said.length === 0) return [];
  const rows = said.map((one) => element("li", {}, sentence(one)));
  return [section("Remarks", element("ul", { class: "remarks" }, ...rows))];
}

/** @param {Report} report */
export function tally({ checks: all }) {
  const count = (/** @type {string} */ state) =>
    all.filter((check) => check.status === state).length;
  return element(
    "p",
    { class: "note" },
    `${count("pass")} passed, ${count("fail")} failed, ${count("unchecked")} unchecked.` +
      " What your policy does not require is marked so, and does not decide.",
  );
}

/** @param {Report} report */
export function checks({ checks: all }) {
  return element(
    "ol",
    { class: "checks" },
    ...all.map(({ id, status: state, required, expected, found }, at) =>
      element(
        "li",
        { class: required ? state : `${state} waived` },
        element("span", { class: "no", "aria-hidden": "true" }, `${at + 1}`),
        element("code", { class: "id" }, id),
        element(
          "span",
          { class: "outcome" },
          CHECK_STATES[state],
          !required && element("span", { class: "soft" }, " not required"),
        ),
        element(
          "dl",
          {},
          expected !== "" && element("dt", {}, "expected"),
          expected !== "" && element("dd", {}, ...hashes(expected)),
          element("dt", {}, "found"),
          element("dd", {}, ...hashes(found)),
        ),
      ),
    ),
  );
}

/**
 * Words with their long hashes shown short.
 * @param {string} words
 * @returns {(Node | string)[]}
 */
function hashes(words) {
  const between = words.split(DIGEST);
  const found = words.match(DIGEST) ?? [];
  return between.flatMap((text, at) => {
    const digest = found[at];
    return digest === undefined ? [text] : [text, hash(digest)];
  });
}

/** @param {Report} report */
export function facts(report) {
  /** @type {[string, (Node | string)[]][]} */
  const rows = [["Product", [report.product]]];
  if (report.platform !== null) rows.push(["Platform", [report.platform]]);
  for (const [name, value] of Object.entries(report.registers.matched)) {
    rows.push([name, [...digest(value), " named by the release"]]);
  }
  const others = Object.entries(report.registers.unlisted);
  if (others.length > 0) rows.push(["Of the document alone", [unlisted(others)]]);
  if (report.public_key) rows.push(["Its public key", [hash(report.public_key)]]);
  if (report.user_data) rows.push(["Its user data", [hash(report.user_data)]]);
  if (report.checkpoint !== null) {
    rows.push(["Log", [report.checkpoint.origin]]);
    rows.push(["Sealed", [formatTime(report.checkpoint.time)]]);
    rows.push(["Root", [hash(report.checkpoint.root)]]);
  }
  rows.push(["Policy, SHA-256", [hash(report.policy_sha256)]]);
  return list(rows);
}

/** @param {[string, string][]} registers that the release does not name */
function unlisted(registers) {
  return element(
    "details",
    {},
    element("summary", {}, `${registers.length} more registers`),
    list(registers.map(([name, value]) => [name, digest(value)])),
  );
}

/**
 * @param {string} value
 * @returns {(Node | string)[]}
 */
function digest(value) {
  const [algorithm = "", hex = ""] = value.split(":");
  return [element("span", { class: "soft" }, `${algorithm} `), hash(hex)];
}

/** @param {[string, (Node | string)[]][]} rows */
function list(rows) {
  return element(
    "dl",
    { class: "facts" },
    ...rows.flatMap(([name, content]) => [
      element("dt", {}, name),
      element("dd", {}, ...content),
    ]),
  );
}
