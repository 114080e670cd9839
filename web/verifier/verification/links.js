/**
 * The eight links of the chain of trust: from facts about a link to its status.
 *
 * tests/vectors/tables/links.json is this table (docs/protocol.md section 1). Worst
 * wins: failed, unchecked, missing, claimed, proven.
 */

/** @typedef {"failed" | "unchecked" | "missing" | "claimed" | "proven"} Status */

/**
 * From worst to best.
 * @type {readonly Status[]}
 */
export const ORDER = ["failed", "unchecked", "missing", "claimed", "proven"];

/** @type {Readonly<Record<number, string>>} */
export const NAMES = Object.freeze({
  1: "attestation",
  2: "provider",
  3: "source",
  4: "audit",
  5: "platform source",
  6: "platform audit",
  7: "controls",
});

/** How many links there are, without the ground that all of them rest on. */
export const COUNT = 7;

/**
 * The worst of some statuses.
 * @param {Status} first
 * @param {...Status} others
 * @returns {Status}
 */
export function worst(first, ...others) {
  return others.reduce(
    (found, one) => (ORDER.indexOf(one) < ORDER.indexOf(found) ? one : found),
    first,
  );
}

/**
 * @param {{failed: boolean, incomplete: boolean}} facts
 * @param {Status} otherwise
 * @returns {Status}
 */
function graded({ failed, incomplete }, otherwise) {
  if (failed) return "failed";
  return incomplete ? worst("unchecked", otherwise) : otherwise;
}

/**
 * Link 1: what the checks of the document came to.
 * @param {{failed: boolean, incomplete: boolean}} facts
 * @returns {Status}
 */
export function attestation(facts) {
  return graded(facts, "proven");
}

/**
 * Link 2: whether the provider says what these registers are.
 * @param {{failed: boolean, incomplete: boolean, released: boolean}} facts
 * @returns {Status}
 */
export function provider(facts) {
  return graded(facts, facts.released ? "proven" : "missing");
}

/**
 * Links 3 and 7: the provider names it, `asked` auditors confirm it.
 * @param {{failed: boolean, incomplete: boolean, claimed: boolean, passes: number,
 *   asked: number}} facts
 * @returns {Status}
 */
export function source(facts) {
  if (!facts.claimed) return graded(facts, "missing");
  return graded(facts, facts.passes >= facts.asked ? "proven" : "claimed");
}

export const controls = source;

/**
 * Link 4: a review has no claim of the provider's before it.
 * @param {{failed: boolean, incomplete: boolean, passes: number, asked: number}} facts
 * @returns {Status}
 */
export function audit(facts) {
  return graded(facts, facts.passes >= facts.asked ? "proven" : "missing");
}

/**
 * Links 5 and 6: the list of components, and each one's own link 3 or 4.
 * @param {{failed: boolean, incomplete: boolean, listed: boolean, confirmed: boolean,
 *   parts: readonly Status[]}} facts
 * @returns {Status}
 */
export function platform(facts) {
  if (!facts.listed) return graded(facts, "missing");
  return graded(facts, worst(facts.confirmed ? "proven" : "claimed", ...facts.parts));
}

/**
 * The largest N with links 1..N all proven.
 * @param {readonly Status[]} statuses of links 1..7
 * @returns {number}
 */
export function trustEndsAt(statuses) {
  const ends = statuses.findIndex((status) => status !== "proven");
  return ends < 0 ? statuses.length : ends;
}
