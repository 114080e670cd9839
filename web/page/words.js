/** The page's own sentences, where they are more than a label. */

/** @import { CheckStatus, Verdict } from "../verifier/verification/checks.js" */
/** @import { Status } from "../verifier/verification/links.js" */
/** @import { Word } from "../verifier/verification/ground.js" */

/** @type {Readonly<Record<number, string>>} */
export const QUESTIONS = {
  1: "Is this a live, genuine enclave, not in debug mode, and does it answer you?",
  2: "Does the provider say what it is, and does nothing that counts speak against it?",
  3: "Did somebody rebuild it from published source to the same registers?",
  4: "Did somebody review that source?",
  5: "The same as link 3, for all parts made elsewhere.",
  6: "The same as link 4, for all parts made elsewhere.",
  7: "Does what hands over secrets demand this very attestation?",
};

/** @type {Readonly<Record<Status, string>>} */
export const MEANS = {
  proven: "",
  claimed: "The provider says so, and nobody confirmed it.",
  missing: "Nobody says anything.",
  unchecked: "This run could not tell.",
  failed: "Something speaks against it.",
};

/** @type {Readonly<Record<Word, string>>} */
export const GROUND = {
  separate: "All of this rests on the maker of the hardware; others run the machines.",
  same: "All of this rests on one company, which makes the hardware and runs the machines.",
  unknown: "All of this rests on who makes the hardware and who runs the machines.",
};

/** @type {Readonly<Record<Verdict, string>>} */
export const VERDICTS = {
  verified: "Verified",
  unchecked: "Could not check",
  refuted: "Refuted",
};

/** @type {Readonly<Record<Verdict, string>>} */
export const ADVICE = {
  verified: "",
  unchecked: "Send it nothing yet. What is lacking stands below, and who can mend it.",
  refuted: "Send it nothing, and keep this report.",
};

/** @type {Readonly<Record<CheckStatus, string>>} */
export const CHECK_STATES = { pass: "pass", fail: "fail", unchecked: "unchecked" };

const UNITS = /** @type {const} */ ([
  [31_536_000, "year"],
  [86_400, "day"],
  [3600, "hour"],
  [60, "minute"],
]);

/**
 * How long ago something was.
 * @param {number} seconds
 */
export function ago(seconds) {
  const span = Math.abs(Math.trunc(seconds));
  for (const [size, unit] of UNITS) {
    if (span < size) continue;
    const count = Math.floor(span / size);
    const words = `${count} ${unit}${count === 1 ? "" : "s"}`;
    return seconds > 0 ? `${words} ago` : `in ${words}`;
  }
  return "just now";
}

/**
 * A list as people say it.
 * @param {readonly string[]} parts
 */
export function joined(parts) {
  if (parts.length < 2) return parts.join("");
  return `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}

/**
 * @param {string} words
 */
export function capital(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/**
 * Words as a sentence; a check's name at their head stays as it is spelled.
 * @param {string} words
 */
export function sentence(words) {
  const lead = /^[a-z-]+(\.[a-z-]+)?: /.test(words) ? words : capital(words);
  return lead.endsWith(".") ? lead : `${lead}.`;
}
