/**
 * From what counts for and against a release to the status of links 2 to 7.
 *
 * A component is a subject of its own, judged once however often it is named; links 5
 * and 6 take the worst of the release's components.
 */

import { componentKey } from "../gather.js";
import { CONTROLS_REVIEW, REPRODUCTION, SOURCE_REVIEW } from "../statement.js";
import { Audits, distinct } from "./audits.js";
import * as links from "./links.js";
import { Releases } from "./releases.js";

/** @import { Subject } from "../gather.js" */
/** @import { Registers } from "../measurement.js" */
/** @import { Product } from "../policy.js" */
/** @import { Component } from "../predicates.js" */
/** @import { Said } from "./audits.js" */
/** @import { Judge } from "./judge.js" */
/** @import { Status } from "./links.js" */

/**
 * Audits of which scope prove, or fail, a link.
 * @type {ReadonlyMap<number, string>}
 */
export const SCOPE_OF_LINK = new Map([
  [3, REPRODUCTION],
  [4, SOURCE_REVIEW],
  [7, CONTROLS_REVIEW],
]);

/**
 * Links 2 to 7 of one subject, with the audits that stand behind each.
 * @typedef {object} Chain
 * @property {Releases} releases
 * @property {Audits} audits
 * @property {Map<number, Status>} status by link
 * @property {ReadonlyMap<number, readonly Said[]>} behind by link
 * @property {string} against what refutes link 2, in words; empty if nothing does
 * @property {readonly Part[]} parts the components that its release names
 */
/**
 * @typedef {object} Part
 * @property {Component} component
 * @property {Chain} [chain] absent where the walk was cut
 */

/** One run over a gathering: the root's chain, and each component's, once. */
export class Evaluation {
  /** @type {Map<Subject, Chain>} */
  #parts = new Map();
  #judge;
  #rules;
  #incomplete;

  /**
   * @param {Judge} judge
   * @param {Product} rules the root's; they are those of components that the policy does
   *   not name
   * @param {{ incomplete: boolean }} options
   */
  constructor(judge, rules, { incomplete }) {
    this.#judge = judge;
    this.#rules = rules;
    this.#incomplete = incomplete;
  }

  /**
   * The links 2 to 7 of a subject.
   * @param {Subject} subject
   * @param {Product} rules
   * @param {Registers} [registers]
   * @param {ReadonlyMap<string, number>} [numbers]
   * @returns {Promise<Chain>}
   */
  async chain(subject, rules, registers, numbers) {
    const releases = new Releases(this.#judge, subject, rules, registers, numbers);
    const audits = await Audits.of(releases);
    const against = whatIsAgainst(releases, audits);
    const release = releases.newestValid?.[1];
    const incomplete = this.#incomplete || !subject.complete;
    /** @type {Part[]} */
    const parts = [];
    for (const component of release?.components ?? []) {
      const part = subject.parts.get(componentKey(component));
      parts.push({ component, chain: part && (await this.#part(part)) });
    }
    const behind = new Map([
      [3, audits.reproductions],
      [4, audits.sourceReviews],
      [5, audits.componentsConfirmed],
      [6, audits.componentsConfirmed],
      [7, audits.controlsReviews],
    ]);
    /** @param {number} number */
    const counted = (number) => {
      const scope = SCOPE_OF_LINK.get(number) ?? "";
      return {
        failed: audits.fails.has(scope),
        incomplete,
        passes: distinct(behind.get(number) ?? []).length,
        asked: rules.counts.of(scope),
      };
    };
    /** @param {number} number 5 or 6 */
    const platform = (number) =>
      links.platform({
        failed: false,
        incomplete,
        listed: release?.components !== undefined,
        confirmed:
          distinct(audits.componentsConfirmed).length >= rules.counts.of(REPRODUCTION),
        parts: parts.map(({ chain }) => partStatus(chain, number - 2)),
      });
    const released = releases.matching.length > 0;
    const rebuildable = release?.source !== undefined && release.build !== undefined;
    const status = new Map([
      [2, links.provider({ failed: against !== "", incomplete, released })],
      [3, links.source({ ...counted(3), claimed: rebuildable })],
      [4, links.audit(counted(4))],
      [5, platform(5)],
      [6, platform(6)],
      [7, links.controls({ ...counted(7), claimed: release?.controls !== undefined })],
    ]);
    return { releases, audits, status, behind, against, parts };
  }

  /**
   * @param {Subject} subject
   * @returns {Promise<Chain>}
   */
  async #part(subject) {
    const known = this.#parts.get(subject);
    if (known !== undefined) return known;
    const rules = this.#judge.policy.findProduct(subject.product) ?? {
      ...this.#rules,
      lowestVersion: undefined,
    };
    const chain = await this.chain(subject, rules);
    this.#parts.set(subject, chain);
    return chain;
  }
}

/**
 * A component's share in link 5 or 6.
 * @param {Chain | undefined} part
 * @param {number} number of its own link: 3 or 4
 * @returns {Status}
 */
function partStatus(part, number) {
  if (part === undefined) return "unchecked";
  const nested = part.releases.newestValid?.[1].components ?? [];
  // Not its own link 2 alone: what failed below counts in an incomplete run too.
  const numbers = nested.length > 0 ? [number, number + 2] : [number];
  return links.worst(statusOf(part, 2), ...numbers.map((one) => statusOf(part, one)));
}

/**
 * What a link of a chain came to.
 * @param {Chain} chain
 * @param {number} number 2 to 7
 * @returns {Status}
 */
export function statusOf(chain, number) {
  return chain.status.get(number) ?? "unchecked";
}

/**
 * What refutes link 2, in words; empty if nothing does.
 * @param {Releases} releases
 * @param {Audits} audits
 */
function whatIsAgainst(releases, audits) {
  const newest = releases.matching.at(-1);
  if (newest !== undefined && releases.newestValid === undefined) {
    const [entry, release] = newest;
    return `release ${entry.index} ${releases.against(entry, release)}`;
  }
  const [conflict] = releases.conflicts;
  if (conflict !== undefined) {
    return `releases ${conflict.entry.index} and ${conflict.rival.index} are in conflict`;
  }
  if (releases.belowLowest) {
    return `counts as less than version ${releases.rules.lowestVersion}`;
  }
  for (const [scope, entries] of audits.fails) {
    return `${entries[0].predicate.issuer} failed it (${scope})`;
  }
  return "";
}
