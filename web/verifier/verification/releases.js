/**
 * Which release a run rests on, and what speaks against it (docs/protocol.md 2.3).
 *
 * compromised and vulnerable hold for a measurement, whatever the product and for good;
 * other revocations for one statement. Two builds of one version are a conflict, until
 * one of them is void or rightly revoked. A measurement counts as the lowest version
 * that it was ever released under.
 */

import { MalformedError } from "../errors.js";
import { by } from "../index-keys.js";
import { REGISTRAR } from "../predicates.js";
import { compareVersions, semver } from "../semver.js";

/** @import { Entry } from "../entry.js" */
/** @import { Subject } from "../gather.js" */
/** @import { Registers } from "../measurement.js" */
/** @import { Product } from "../policy.js" */
/** @import { Release } from "../predicates.js" */
/** @import { Judge } from "./judge.js" */

/** The releases of one subject, judged under the rules for its product. */
export class Releases {
  /**
   * By index: whether it conflicts no longer. Each is asked once, however many releases
   * it might contradict.
   * @type {Map<number, boolean>}
   */
  #settled = new Map();

  /**
   * @param {Judge} judge
   * @param {Subject} subject
   * @param {Product} rules
   * @param {Registers} [registers] the document's, as are `numbers`; where there is
   *   none, all that is lacking matches
   * @param {ReadonlyMap<string, number>} [numbers]
   */
  constructor(judge, subject, rules, registers, numbers) {
    this.judge = judge;
    this.subject = subject;
    this.rules = rules;
    /** Releases all of whose registers, and numbers, the document has. */
    this.matching = subject.releases.filter(
      ([entry, release]) =>
        (registers === undefined || isPart(entry.statement.registers, registers)) &&
        (numbers === undefined || isPart(release.numbers ?? new Map(), numbers)),
    );
    /** The release that the run rests on. */
    this.newestValid = [...this.matching]
      .reverse()
      .find(([entry, release]) => !this.against(entry, release));
    /**
     * Pairs (release, rival) of one version that differ in a register.
     *
     * Any release of this measurement is asked about, not only the newest: a conflict
     * cannot be shed by releasing the same build under another version. Only what is
     * void, or rightly revoked, no longer counts; on either side.
     */
    this.conflicts = this.matching
      .filter(([entry]) => !this.#isSettled(entry))
      .flatMap(([entry, release]) =>
        this.#rivals(release.version)
          .filter((rival) => differs(entry, release, rival) && !this.#isSettled(rival))
          .map((rival) => ({ entry, rival })),
      );
    /** Whether the policy refuses the version that this measurement counts as. */
    this.belowLowest = this.#isBelowLowest();
  }

  /**
   * Why a release is not valid; empty if it is.
   * @param {Entry} entry
   * @param {Release} release
   */
  against(entry, release) {
    const reason = this.judge.silent(entry, this.rules.pins);
    if (reason) return reason;
    const revocation = this.#revoked(entry);
    if (revocation !== undefined) {
      const said = revocation.predicate;
      const what = "reason" in said ? said.reason : "";
      return `is revoked by ${said.issuer} as ${what} (entry ${revocation.index})`;
    }
    if (this.judge.expired(release.expires)) return `expired at ${release.expires}`;
    return "";
  }

  /**
   * @param {Entry} entry
   * @param {{ lifting?: boolean }} [options]
   */
  #revoked(entry, { lifting = false } = {}) {
    const { statements, provider } = this.subject;
    const said = [provider, REGISTRAR].flatMap((name) => statements.get(name) ?? []);
    return this.judge.revocationOf(entry, said, lifting ? this.rules.pins : undefined);
  }

  /**
   * Releases of a version, and the candidates: these are known without its answer.
   * @param {string} version
   */
  #rivals(version) {
    const found = new Map(
      [
        ...(this.subject.rivals.get(version) ?? []),
        ...this.subject.releases.map(([entry]) => entry),
      ].map((entry) => [entry.index, entry]),
    );
    return [...found.values()].sort((one, other) => one.index - other.index);
  }

  /** @param {Entry} rival */
  #isSettled(rival) {
    const settled = this.#settled.get(rival.index) ?? this.#settle(rival);
    this.#settled.set(rival.index, settled);
    return settled;
  }

  /**
   * Whether a release no longer conflicts: void, or revoked by who may lift.
   * @param {Entry} rival
   */
  #settle(rival) {
    if (this.judge.authority.isVoid(rival)) return true;
    const { subject } = this;
    const { measurements } = rival.statement;
    if (measurements.some((one) => subject.measurements.includes(one))) {
      return this.#revoked(rival, { lifting: true }) !== undefined;
    }
    const said = [subject.provider, REGISTRAR]
      .flatMap((name) => measurements.map((one) => by(name, subject.platform, one)))
      .flatMap((key) => subject.rivalStatements.get(key) ?? []);
    return this.judge.revocationOf(rival, said, this.rules.pins) !== undefined;
  }

  #isBelowLowest() {
    const wanted = this.rules.lowestVersion;
    if (wanted === undefined || this.matching.length === 0) return false;
    try {
      return compareVersions(semver(this.lowestVersion()), semver(wanted)) < 0;
    } catch (error) {
      if (error instanceof MalformedError) return true;
      throw error;
    }
  }

  /**
   * The lowest version that this measurement was ever released under.
   * @returns {string}
   * @throws {MalformedError} there is none, or one of them is not SemVer
   */
  lowestVersion() {
    const versions = this.subject.releases
      .filter(([entry]) => !this.judge.authority.isVoid(entry))
      .map(([, release]) => release.version);
    if (versions.length === 0) throw new MalformedError("no release that is not void");
    const read = versions.map((version) => ({ version, value: semver(version) }));
    return read.reduce((lowest, one) =>
      compareVersions(one.value, lowest.value) < 0 ? one : lowest,
    ).version;
  }
}

/**
 * Whether all that `some` says, `all` says too.
 * @template T
 * @param {ReadonlyMap<string, T>} some
 * @param {ReadonlyMap<string, T>} all
 */
function isPart(some, all) {
  return [...some].every(([name, value]) => all.get(name) === value);
}

/**
 * Whether a rival is another build of the same version (docs/protocol.md 2.3).
 * @param {Entry} entry
 * @param {Release} release
 * @param {Entry} rival
 */
function differs(entry, release, rival) {
  const { predicate: other, registers: theirs } = rival.statement;
  if (other.kind !== "release") return false;
  return (
    other.product === release.product &&
    other.version === release.version &&
    other.platform === release.platform &&
    other.variant === release.variant &&
    [...entry.statement.registers].some(
      ([name, digest]) => (theirs.get(name) ?? digest) !== digest,
    )
  );
}
