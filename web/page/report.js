/** A report as the page shows it: the verdict in words, the chain, and every check. */

import { encodeText, formatTime } from "../verifier/encoding.js";
import { ladder, picture } from "./chain.js";
import { download, element, grouped } from "./elements.js";
import { checks, components, facts, remarks, section, tally } from "./findings.js";
import { ADVICE, VERDICTS, ago, capital, sentence } from "./words.js";

/** @import { Bytes } from "../verifier/encoding.js" */
/** @import { Verdict } from "../verifier/verification/checks.js" */
/** @import { Report } from "../verifier/verification/report.js" */
/**
 * What a page knows that a report does not.
 * @typedef {object} Run
 * @property {number} now unix seconds, by the browser's clock
 * @property {boolean} opened whether the document is genuine
 * @property {number | undefined} signed unix milliseconds at which the enclave answered, if
 *   its document names a time
 * @property {string[]} asked whom the page asked, in order
 * @property {string} refusal why the page itself does not take the answer; "" if it does
 * @property {string} memory what became of the checkpoint
 * @property {Bytes} [evidence] of a fork
 */

/**
 * All of it.
 * @param {Report} report
 * @param {Run} run
 * @returns {HTMLElement[]}
 */
export function drawReport(report, run) {
  return [
    verdict(report, run),
    moment(report, run),
    numbers(report, run),
    section(
      run.refusal === "" || report.verdict !== "verified"
        ? "The chain of trust"
        : "The chain of trust, if it were taken",
      picture(report),
      ladder(report),
    ),
    ...components(report),
    ...remarks(report),
    section("Every check", tally(report), checks(report)),
    section("What it was about", facts(report)),
    section("What this page did", deeds(run)),
    section("To keep", keep(report, run)),
  ];
}

/**
 * @param {Report} report
 * @param {Run} run
 */
function verdict({ headline, product, verdict: word }, { refusal }) {
  /** @type {Verdict} */
  const shown = refusal !== "" && word === "verified" ? "unchecked" : word;
  const [lead = "", ...rest] = headline.split(": ");
  const found = rest.join(": ");
  const claim = shown === word ? found : `What it would say otherwise: ${found}`;
  const title = shown === "verified" ? capital(lead.toLowerCase()) : VERDICTS[shown];
  return element(
    "div",
    { class: `verdict ${shown}` },
    element("p", { class: "asked" }, `Is this enclave ${product}?`),
    element("h2", { id: "verdict" }, title),
    refusal !== "" && element("p", { class: "claim" }, sentence(refusal)),
    element("p", { class: refusal === "" ? "claim" : "detail" }, sentence(claim)),
    ADVICE[shown] !== "" && element("p", { class: "advice" }, ADVICE[shown]),
  );
}

/**
 * Whom the answer came from: some enclave like this, unless the channel was bound.
 * @param {Report} report
 * @param {Run} run
 */
function moment(report, { opened, signed }) {
  if (!opened) {
    const words = "No genuine enclave answered: nothing of the document is used.";
    return element("p", { class: "card mild moment" }, words);
  }
  const lead = answered(signed);
  if (report.archived) {
    const words = " That says nothing of what answers now.";
    const such = element("b", {}, `Such an enclave ${lead}`);
    return element("p", { class: "card mild moment" }, such, words);
  }
  if (status(report, "channel") === "pass") {
    return element("p", { class: "card moment" }, `This enclave ${lead}`);
  }
  return element(
    "p",
    { class: "card mild moment" },
    element("b", {}, `Such an enclave ${lead}`),
    " Your other tab may talk to something else: a page cannot see whose key is at the" +
      " other end of a connection. To bind the channel, use ",
    element("code", {}, "pcrlog verify --url"),
    ", or encrypt to the key that the document carries.",
  );
}

/** @param {number | undefined} signed unix milliseconds */
function answered(signed) {
  if (signed === undefined) return "answered. Its document does not say when.";
  const [day, time] = formatTime(Math.floor(signed / 1000))
    .slice(0, 16)
    .split("T");
  return `answered at ${time} UTC on ${day}.`;
}

/**
 * @param {Report} report
 * @param {string} id
 */
function status(report, id) {
  return report.checks.find((check) => check.id === id)?.status;
}

/**
 * @param {Report} report
 * @param {Run} run
 */
function numbers(report, { now }) {
  const { checkpoint, trust_ends_at: ends } = report;
  const cells = [
    ["Version", report.version ?? "none"],
    ["Trust ends at", ends === 0 ? "no link" : `link ${ends} of 7`],
    ["Entries of the log", checkpoint === null ? "none" : grouped(checkpoint.size)],
    ["Last seal", checkpoint === null ? "none" : ago(now - checkpoint.time)],
  ];
  return element(
    "dl",
    { class: "numbers" },
    ...cells.map(([name = "", value = ""]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value)),
    ),
  );
}

/** @param {Run} run */
function deeds({ now, asked, memory }) {
  const left =
    asked.length === 0
      ? [element("p", {}, "It asked nobody anything.")]
      : [
          element(
            "p",
            {},
            "Since it was opened it asked for this, and sent nothing else:",
          ),
          element(
            "ul",
            { class: "asked-for" },
            ...asked.map((url) => element("li", {}, element("code", {}, url))),
          ),
        ];
  const clock = `It took ${formatTime(now)} for now: this computer's clock.`;
  return element(
    "div",
    { class: "deeds" },
    ...left,
    element("p", {}, clock),
    element("p", {}, memory),
  );
}

/**
 * @param {Report} report
 * @param {Run} run
 */
function keep(report, { evidence }) {
  const print = element("button", { type: "button", class: "plain" }, "Print");
  print.addEventListener("click", () => window.print());
  const json = "application/json";
  return element(
    "p",
    { class: "actions" },
    download("Report, in JSON", "report.json", report.toJson(), json),
    report.checkpoint !== null &&
      download("Checkpoint", "checkpoint", encodeText(report.checkpoint.note)),
    evidence !== undefined &&
      download("Evidence of the fork", "fork.pcrevidence", evidence, json),
    print,
  );
}
