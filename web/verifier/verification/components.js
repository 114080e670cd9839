/**
 * Links 5 and 6 by name: what each component of a release comes to, and who is next.
 *
 * A release's links 5 and 6 are the worst of its list and of its components (links.js),
 * and say which of the two words for it. Here is each component by itself, with its
 * share in both, but without what its own components add: these follow it, one level
 * deeper. So the worst of the rows is the place where trust ends, and it has a name.
 *
 *     link    worst of: is the list confirmed, and the shares of all rows
 *     share   worst of: is it released and stands (its link 2); its link 3 (in link 5) or
 *             4 (in link 6); if it names components itself, is that list confirmed
 */

import { componentKey, providerOf } from "../gather.js";
import { REPRODUCTION, SOURCE_REVIEW } from "../statement.js";
import { distinct } from "./audits.js";
import { statusOf } from "./evaluate.js";
import * as links from "./links.js";

/** @import { Component, Release } from "../predicates.js" */
/** @import { Chain } from "./evaluate.js" */
/** @import { Status } from "./links.js" */
/** @import { Cited, ComponentShown, Share } from "./report.js" */
/** @typedef {{ found: string, next: string }} Words why, and who would have to do what */
/** @typedef {Omit<ComponentShown, "links">} Row a component without its shares */

/** The links that components have a share in. */
const NUMBERS = [5, 6];
const CUT = "too many components, too deep, or in a circle";
const ASK_AGAIN = "you: ask again, with what the checks say is lacking";
/** Hex digits that name an artifact to people. */
const SHORT = 12;
/** The link of a component that a rebuild proves; the other, 4, is its review. */
const REBUILT = 3;

/**
 * All components below a release, each once, in the order of the lists.
 *
 * What a component names follows it, one level deeper, unless it stands further out.
 * @param {Chain} chain
 * @returns {readonly ComponentShown[]}
 */
export function shown(chain) {
  const judged = judgedIn(chain);
  /** @type {ComponentShown[]} */
  const found = [];
  /** @type {Set<string>} */
  const seen = new Set();

  /**
   * @param {Chain} above
   * @param {number} depth
   */
  function walk(above, depth) {
    const here = above.parts
      .map(({ component }) => component)
      .filter((component) => !seen.has(componentKey(component)));
    // Before what is deeper: none hides a sibling.
    for (const component of here) seen.add(componentKey(component));
    for (const component of here) {
      const part = judged.get(componentKey(component));
      found.push(show(component, part, depth));
      if (part !== undefined) walk(part, depth + 1);
    }
  }

  walk(chain, 1);
  return found;
}

/**
 * All components that were judged: one way to them may be cut, and another not.
 * @param {Chain} chain
 */
function judgedIn(chain) {
  /** @type {Map<string, Chain>} */
  const found = new Map();
  const todo = [chain];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    for (const { component, chain: part } of next.parts) {
      const key = componentKey(component);
      if (part === undefined || found.has(key)) continue;
      found.set(key, part);
      todo.push(part);
    }
  }
  return found;
}

/**
 * The component that a link ends at, and its share there.
 * @typedef {object} Blame
 * @property {ComponentShown} component
 * @property {Share} share
 * @property {string} words its name, and why
 */

/**
 * The first component that makes a link as bad as it is; undefined if its list does.
 *
 * The list comes first, since anything may be missing from it.
 * @param {Chain} chain of the release
 * @param {readonly ComponentShown[]} rows all components below it
 * @param {number} number of the link; 5 and 6 have components
 * @returns {Blame | undefined}
 */
export function blame(chain, rows, number) {
  const status = statusOf(chain, number);
  if (!NUMBERS.includes(number) || status === "proven" || status === listed(chain)) {
    return undefined;
  }
  for (const component of rows) {
    const share = component.links[number - NUMBERS[0]];
    if (share.status === status) {
      return { component, share, words: `${nameOf(component)}: ${share.found}` };
    }
  }
  return undefined;
}

/**
 * A component as people call it: with its version, or its digest if it has none.
 * @param {Row} row
 */
export function nameOf({ product, version, sha256 }) {
  return `${product} ${version ?? `(${sha256.slice(0, SHORT)}…)`}`;
}

/**
 * @param {Component} component
 * @param {Chain | undefined} part
 * @param {number} depth
 * @returns {ComponentShown}
 */
function show({ product, sha256 }, part, depth) {
  const release = part?.releases.newestValid ?? part?.releases.matching.at(-1);
  const row = { product, sha256, version: release?.[1].version ?? null, depth };
  return { ...row, links: NUMBERS.map((number) => shareOf(row, part, number)) };
}

/**
 * @param {Row} row
 * @param {Chain | undefined} part
 * @param {number} number of the release's link: 5 or 6
 * @returns {Share}
 */
function shareOf(row, part, number) {
  if (part === undefined) {
    const none = { by: [], evidence: [] };
    return { number, status: "unchecked", ...none, found: CUT, next: ASK_AGAIN };
  }
  const own = number - 2;
  const status = links.worst(statusOf(part, 2), statusOf(part, own), listed(part));
  return {
    number,
    status,
    ...behind(part, own, status),
    ...words(row, part, own, status),
  };
}

/**
 * What a list comes to without what is on it; an empty one asks for nothing.
 * @param {Chain} part
 * @returns {Status}
 */
export function listed(part) {
  if (part.parts.length === 0) return "proven";
  const { have, asked } = confirmed(part);
  return have >= asked ? "proven" : "claimed";
}

/** @param {Chain} part */
function confirmed({ audits }) {
  return {
    have: distinct(audits.componentsConfirmed).length,
    asked: audits.rules.counts.of(REPRODUCTION),
  };
}

// --- in words: what was found, and who would have to do what ------------------------

/**
 * @param {Row} row
 * @param {Chain} part
 * @param {number} own link of the component: 3 or 4
 * @param {Status} status of its share
 * @returns {Words}
 */
function words(row, part, own, status) {
  if (status === "failed") return failed(row, part);
  if (status === "unchecked") return { found: "could not be checked", next: ASK_AGAIN };
  if (statusOf(part, 2) === "missing") return unreleased(row);
  if (statusOf(part, own) !== "proven") return open(row, part, own);
  return status === "proven" ? { found: "", next: "" } : unlisted(row, part);
}

/**
 * @param {Row} row
 * @param {Chain} part
 * @returns {Words}
 */
function failed(row, part) {
  return {
    found: part.against || "something speaks against it",
    next:
      `the provider: a new build without this ${row.product}; or who speaks against it` +
      " takes it back",
  };
}

/**
 * @param {Row} row
 * @returns {Words}
 */
function unreleased({ product, sha256 }) {
  const provider = providerOf(product);
  return {
    found: `${provider} has released no such artifact`,
    next:
      `${provider}: release it (pcrlog component add sha256:${sha256} --product` +
      ` ${product})`,
  };
}

/**
 * @param {Row} row
 * @param {Chain} part
 * @returns {Words}
 */
function unlisted(row, part) {
  const { have, asked } = confirmed(part);
  const who = have > 0 ? `only ${have} of ${asked} auditors` : "nobody";
  return {
    found: `${who} confirmed its own list of components`,
    next:
      `an auditor: rebuild ${nameOf(row)}, and confirm that its list is complete` +
      ` (--components-complete${indexOf(part)})`,
  };
}

/**
 * Its link 3 or 4 is missing or claimed.
 * @param {Row} row
 * @param {Chain} part
 * @param {number} own
 * @returns {Words}
 */
function open(row, part, own) {
  const release = part.releases.newestValid?.[1];
  const lacks = release === undefined ? "" : whatLacks(release, own);
  if (lacks) {
    return {
      found: `its release names no ${lacks}`,
      next:
        `${providerOf(row.product)}: release ${nameOf(row)} with its source, commit and` +
        " recipe (pcrlog component add)",
    };
  }
  const rebuilt = own === REBUILT;
  const scope = rebuilt ? REPRODUCTION : SOURCE_REVIEW;
  const verb = rebuilt ? "rebuild" : "review the source of";
  const have = distinct(part.behind.get(own) ?? []).length;
  const asked = part.audits.rules.counts.of(scope);
  const who = have > 0 ? `only ${have} of ${asked} auditors have` : "nobody has";
  const cosign = `--scope ${scope}${indexOf(part)}`;
  const how = rebuilt ? `--rebuild …${indexOf(part)}, or ${cosign}` : cosign;
  return {
    found: `${who} ${rebuilt ? "rebuilt it" : "reviewed its source"}`,
    next: `an auditor: ${verb} ${nameOf(row)} (pcrlog cosign ${how})`,
  };
}

/**
 * What a release would have to name, so that somebody can rebuild or review it.
 * @param {Release} release
 * @param {number} own
 */
function whatLacks({ source, build }, own) {
  if (source === undefined) return "source";
  return own === REBUILT && build === undefined ? "recipe" : "";
}

/** @param {Chain} part */
function indexOf({ releases }) {
  return releases.newestValid === undefined ? "" : ` ${releases.newestValid[0].index}`;
}

/**
 * Who stands behind a share, and the entries: its release first, then audits.
 * @param {Chain} part
 * @param {number} own
 * @param {Status} status
 * @returns {{ by: readonly string[], evidence: readonly Cited[] }}
 */
function behind(part, own, status) {
  const { releases, audits } = part;
  const released = releases.matching.slice(-1).map(([entry]) => entry);
  const fails = [...audits.fails.values()].flat();
  /** @type {readonly string[]} */
  let by = [];
  let entries = released;
  if (status === "failed") {
    // Never by who rebuilt it: `found` says who.
    by = fails.map((entry) => entry.predicate.issuer);
    if (fails.length > 0) entries = fails;
  } else if (releases.newestValid !== undefined) {
    const passes = part.behind.get(own) ?? [];
    const who = distinct(passes);
    by = who.length > 0 ? who : [releases.subject.provider];
    entries = [releases.newestValid[0], ...passes.map(([entry]) => entry)];
  }
  const evidence = entries.map(({ index, keyid }) => ({ index, keyid }));
  return { by: [...new Set(by)], evidence };
}
