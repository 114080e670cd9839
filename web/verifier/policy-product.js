/**
 * What a policy demands of one product, or of all of a provider's (policy.js).
 */

import { shown } from "./encoding.js";
import { MalformedError } from "./errors.js";
import { PLATFORMS } from "./measurement.js";
import { PRODUCT } from "./predicates.js";
import { semver } from "./semver.js";
import { SCOPES } from "./statement.js";

/** @import { Auditor, ProductTable, Severity } from "./policy-file.js" */

/**
 * What is demanded of one product, or of all of a provider's.
 * @typedef {object} Product
 * @property {readonly string[]} platforms
 * @property {string | undefined} lowestVersion
 * @property {readonly number[]} links
 * @property {"required" | "optional"} channel
 * @property {"refuse" | "report"} components
 * @property {readonly Auditor[]} auditors
 * @property {Counts} counts
 * @property {ReadonlyMap<Severity, number> | undefined} openFindings
 * @property {ReadonlyMap<string, readonly string[]>} pins name to keyids
 * @property {string | undefined} operator
 * @property {"any" | "separate"} ground
 */

/** How many distinct auditors must pass, by scope. */
export class Counts {
  #numbers;

  /** @param {{ readonly [scope: string]: number | undefined }} numbers 1, where absent */
  constructor(numbers) {
    this.#numbers = new Map(SCOPES.map((scope) => [scope, numbers[scope] ?? 1]));
  }

  /**
   * The number for a scope.
   * @param {string} scope
   */
  of(scope) {
    const number = this.#numbers.get(scope);
    if (number === undefined) throw new TypeError(`no scope of audits: ${scope}`);
    return number;
  }
}

/**
 * A platform that statements and documents can be of.
 * @param {string} name
 * @throws {MalformedError} this version knows none of that name
 */
export function requirePlatform(name) {
  const known = PLATFORMS.get(name);
  if (known === undefined) {
    const all = [...PLATFORMS.keys()].join(", ");
    throw new MalformedError(
      `unknown platform ${shown(name)}; this version knows ${all}`,
    );
  }
  return known;
}

/**
 * The rules of a product's table.
 * @param {string} name
 * @param {ProductTable} raw
 * @param {ReadonlyMap<string, unknown>} platforms those that the policy has a table for
 * @returns {Product}
 * @throws {MalformedError} a platform without its table, a version that is not SemVer,
 *   more passes wanted than there are auditors
 */
export function buildProduct(name, raw, platforms) {
  // The star stands for any segment.
  if (!PRODUCT.test(name.replace(/\/\*$/, "/any"))) {
    throw new MalformedError(
      `expected a product <name>/<segment> or <name>/*, found ${shown(name)}`,
    );
  }
  for (const one of raw.platforms) {
    if (requirePlatform(one).attests && !platforms.has(one)) {
      throw new MalformedError(`${name}: [platforms.${one}] is missing`);
    }
  }
  if (raw.lowest_version !== undefined) semver(raw.lowest_version);
  const auditors = raw.auditors ?? [];
  const counts = new Counts(raw.counts ?? {});
  requireAuditors(name, auditors, counts);
  return {
    platforms: raw.platforms,
    lowestVersion: raw.lowest_version,
    links: raw.links ?? [1, 2],
    channel: raw.channel ?? "optional",
    components: raw.components ?? "refuse",
    auditors,
    counts,
    openFindings: raw.open_findings,
    pins: raw.pins ?? new Map(),
    operator: raw.operator,
    ground: raw.ground ?? "any",
  };
}

/**
 * @param {string} name of the product
 * @param {readonly Auditor[]} auditors
 * @param {Counts} counts
 */
function requireAuditors(name, auditors, counts) {
  if (new Set(auditors.map((one) => one.name)).size !== auditors.length) {
    throw new MalformedError(`${name}: an auditor stands twice`);
  }
  for (const scope of SCOPES) {
    const able = auditors.filter(({ scopes }) =>
      scopes.some((one) => one === scope),
    ).length;
    const wanted = counts.of(scope);
    if (wanted > Math.max(able, 1)) {
      throw new MalformedError(
        `${name}: ${wanted} ${scope} passes from ${able} auditors`,
      );
    }
  }
}
