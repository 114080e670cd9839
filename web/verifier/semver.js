/**
 * SemVer 2.0 versions that sort, for policies that set a lowest one (docs/protocol.md
 * 2.3).
 *
 * Without build metadata, which has no order, and with numbers of at most 18 digits.
 */

import { shown } from "./encoding.js";
import { MalformedError } from "./errors.js";

const NUMBER = "(?:0|[1-9][0-9]{0,17})";
const SEMVER = new RegExp(
  `^(${NUMBER})\\.(${NUMBER})\\.(${NUMBER})(?:-([0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*))?$`,
);
const DIGITS = /^[0-9]+$/;

/**
 * A version that `compareVersions` takes.
 * @typedef {object} SemVer
 * @property {readonly string[]} numbers three, in digits
 * @property {readonly string[]} preRelease its identifiers; none in a release proper
 */

/**
 * Read a version.
 * @param {string} version
 * @returns {SemVer}
 * @throws {MalformedError} not SemVer
 */
export function semver(version) {
  const match = SEMVER.exec(version);
  if (match === null) {
    throw new MalformedError(`expected a SemVer version, found ${shown(version)}`);
  }
  const [, major, minor, patch, rest] = match;
  const preRelease = rest === undefined ? [] : rest.split(".");
  for (const part of preRelease) {
    if (DIGITS.test(part) && part.length > 1 && part.startsWith("0")) {
      throw new MalformedError(`SemVer: ${shown(part)} has a leading zero`);
    }
  }
  return { numbers: [major, minor, patch].map(String), preRelease };
}

/**
 * Below 0 if `one` comes before `other`, above 0 if after it, 0 if they are the same.
 * @param {SemVer} one
 * @param {SemVer} other
 */
export function compareVersions(one, other) {
  for (const [at, number] of one.numbers.entries()) {
    const order = compareNumbers(number, other.numbers[at] ?? "0");
    if (order !== 0) return order;
  }
  const left = one.preRelease;
  const right = other.preRelease;
  // A release comes after all that was there before it.
  if (left.length === 0 || right.length === 0) return right.length - left.length;
  for (const [at, part] of left.entries()) {
    const against = right[at];
    if (against === undefined) return 1;
    const order = compareIdentifiers(part, against);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

/**
 * Identifiers of a pre-release: numbers before words (SemVer clause 11).
 * @param {string} one
 * @param {string} other
 */
function compareIdentifiers(one, other) {
  const number = DIGITS.test(one);
  if (number !== DIGITS.test(other)) return number ? -1 : 1;
  if (number) return compareNumbers(one, other);
  return one < other ? -1 : Number(one > other);
}

/**
 * Numbers in digits without leading zeros, of any length.
 * @param {string} one
 * @param {string} other
 */
function compareNumbers(one, other) {
  if (one.length !== other.length) return one.length - other.length;
  return one < other ? -1 : Number(one > other);
}
