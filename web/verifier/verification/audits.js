/**
 * Which audits count, for the release that a run rests on (docs/protocol.md 2.3).
 *
 * An audit speaks of its subject, not of an envelope. A pass counts while nothing is
 * wrong with it: its auditor counts for its scope, is not the provider, speaks with a
 * key that is not void, and has not revoked it; it has not expired. A fail counts until
 * its own auditor revokes it, outlives its key, and on source holds for every commit
 * that was ever released or rebuilt as this measurement.
 */

import * as limits from "../limits.js";
import { encodeHex, encodeJson, parseTime, sha256 } from "../encoding.js";
import { PLATFORMS } from "../measurement.js";
import { CONTROLS_REVIEW, REPRODUCTION, SCOPES, SOURCE_REVIEW } from "../statement.js";
import { revocations } from "./judge.js";

/** @import { JsonValue } from "../encoding.js" */
/** @import { Entry } from "../entry.js" */
/** @import { Audit, Component, Control } from "../predicates.js" */
/** @import { Releases } from "./releases.js" */
/** @typedef {[Entry, Audit]} Said an audit, and the entry that holds it */

const DAY = 86_400;

/**
 * How an audit names a release's whole list: SHA-256 of its canonical JSON.
 * @param {readonly Component[] | readonly Control[] | undefined} items
 */
async function digestOf(items) {
  if (items === undefined) return undefined;
  const json = /** @type {JsonValue} */ (items.map((item) => ({ ...item })));
  return encodeHex(await sha256(encodeJson(json)));
}

/** The audits that speak for and against a subject's releases. */
export class Audits {
  #release;
  /**
   * By auditor and commit: whether a fail stands there. Many may build on one.
   * @type {Map<string, boolean>}
   */
  #failed = new Map();

  /**
   * @param {Releases} releases
   * @param {string | undefined} components digest of the list of the newest valid release
   * @param {string | undefined} controls the same
   */
  constructor(releases, components, controls) {
    this.judge = releases.judge;
    this.subject = releases.subject;
    this.rules = releases.rules;
    this.#release = releases.newestValid;
    /** The counted fails that stand, by scope. */
    this.fails = this.#findFails();
    /** Passes: same registers, same commit as the release that the run rests on. */
    this.reproductions = this.#findReproductions();
    /** Reproductions that found exactly this list of components complete. */
    this.componentsConfirmed = this.reproductions.filter(
      ([, audit]) => components !== undefined && audit.components === components,
    );
    /** Controls reviews of exactly the release's list, not older than 90 days. */
    this.controlsReviews = this.#findControlsReviews(controls);
    /** Source reviews that pass the commit of the release. */
    this.sourceReviews = this.#findSourceReviews();
  }

  /**
   * @param {Releases} releases
   * @returns {Promise<Audits>}
   */
  static async of(releases) {
    const release = releases.newestValid?.[1];
    const components = await digestOf(release?.components);
    return new Audits(releases, components, await digestOf(release?.controls));
  }

  /**
   * The auditors that count for a scope; those of an unknown one are all.
   * @param {string} scope
   * @returns {string[]}
   */
  auditorsOf(scope) {
    const known = /** @type {readonly string[]} */ (SCOPES).includes(scope);
    return this.rules.auditors
      .filter(({ scopes }) => !known || scopes.some((one) => one === scope))
      .map(({ name }) => name);
  }

  /**
   * An auditor that shares a name or key with the provider does not count.
   * @param {Entry} entry
   */
  #independent(entry) {
    const { provider } = this.subject;
    const owner = this.judge.authority.owner(entry.keyid);
    return provider !== entry.predicate.issuer && provider !== owner;
  }

  /**
   * @param {readonly Entry[]} entries
   * @returns {Said[]}
   */
  #audits(entries) {
    /** @type {Said[]} */
    const found = [];
    for (const entry of entries) {
      const { predicate } = entry;
      if (predicate.kind !== "audit") continue;
      const { scope, issuer } = predicate;
      if (this.auditorsOf(scope).includes(issuer)) found.push([entry, predicate]);
    }
    return found;
  }

  /** All that the auditors said about the measurement. */
  #about() {
    return this.subject.auditors.flatMap(
      (name) => this.subject.statements.get(name) ?? [],
    );
  }

  /**
   * Whether an auditor has revoked this audit of its own.
   * @param {Entry} entry
   * @param {readonly Entry[]} pool
   * @param {{ lifting: boolean }} options
   */
  #withdrawn(entry, pool, { lifting }) {
    const { issuer } = entry.predicate;
    const said = [...revocations(pool)]
      .filter(
        ([, { issuer: by, statement }]) => by === issuer && statement !== undefined,
      )
      .map(([found]) => found);
    const pins = lifting ? this.rules.pins : undefined;
    return this.judge.revocationOf(entry, said, pins) !== undefined;
  }

  /**
   * Fails that stand: only their own auditor's revocation lifts them.
   * @param {readonly Entry[]} pool
   */
  #failsIn(pool) {
    return this.#audits(pool).filter(
      ([entry, { result }]) =>
        result === "fail" && !this.#withdrawn(entry, pool, { lifting: true }),
    );
  }

  #findFails() {
    /** @type {Map<string, Entry[]>} */
    const found = new Map();
    const commits = this.#sourceCommits();
    const reviews = [...this.subject.reviews.values()].map((byCommit) =>
      commits.flatMap((commit) => byCommit.get(commit) ?? []),
    );
    for (const pool of [this.#about(), ...reviews]) {
      for (const [entry, { scope }] of this.#failsIn(pool)) {
        found.set(scope, [...(found.get(scope) ?? []), entry]);
      }
    }
    return found;
  }

  /** Commits whose fails count: of every release and counted reproduction. */
  #sourceCommits() {
    const sources = this.subject.releases.map(([, release]) => release.source);
    for (const [, audit] of this.#audits(this.#about())) {
      if (audit.scope === REPRODUCTION) sources.push(audit.source);
    }
    return [...new Set(sources.flatMap((source) => (source ? [source.commit] : [])))];
  }

  /**
   * Whether an audit speaks for its subject now.
   * @param {Said} said
   * @param {readonly Entry[]} pool
   */
  #passes([entry, audit], pool) {
    const { now, policy } = this.judge;
    const good =
      audit.result === "pass" ||
      (audit.result === "qualified" && this.#withinLimits(audit));
    return (
      good &&
      /** @type {readonly string[]} */ (SCOPES).includes(audit.scope) &&
      parseTime(audit.performed) <= now + policy.clockSkew &&
      !this.judge.expired(audit.expires) &&
      this.#independent(entry) &&
      !this.judge.silent(entry, this.rules.pins) &&
      !this.#withdrawn(entry, pool, { lifting: false })
    );
  }

  /** @param {Audit} audit */
  #withinLimits({ open }) {
    const most = this.rules.openFindings;
    if (most === undefined || open === undefined) return false;
    return [...most].every(([severity, number]) => open[severity] <= number);
  }

  #findReproductions() {
    if (this.#release === undefined) return [];
    const { source, build } = this.#release[1];
    if (source === undefined) return [];
    return this.#measuredPasses(this.#release[0], REPRODUCTION).filter(
      ([, audit]) =>
        audit.source?.commit === source.commit &&
        (audit.recipe === undefined ||
          build === undefined ||
          audit.recipe === build.recipe.sha256),
    );
  }

  /**
   * @param {Entry} release
   * @param {string} scope
   */
  #measuredPasses(release, scope) {
    const about = this.#about();
    const ours = release.statement.registers;
    const platform = PLATFORMS.get(this.subject.platform);
    if (platform === undefined) return [];
    return this.#audits(about).filter((said) => {
      const named = said[0].statement.registers;
      return (
        said[1].scope === scope &&
        platform.required.every((name) => named.has(name)) &&
        [...named].every(([name, digest]) => ours.get(name) === digest) &&
        this.#passes(said, about)
      );
    });
  }

  /** @param {string | undefined} controls */
  #findControlsReviews(controls) {
    if (this.#release === undefined || controls === undefined) return [];
    const oldest = this.judge.now - limits.CONTROLS_REVIEW_DAYS * DAY;
    return this.#measuredPasses(this.#release[0], CONTROLS_REVIEW).filter(
      ([, audit]) =>
        audit.controls === controls && parseTime(audit.performed) >= oldest,
    );
  }

  #findSourceReviews() {
    const commit = this.#release?.[1].source?.commit;
    if (commit === undefined) return [];
    return this.auditorsOf(SOURCE_REVIEW).flatMap((name) => {
      const pool = this.#reviewsOf(name, commit);
      return this.#audits(pool).filter(
        (said) =>
          said[1].scope === SOURCE_REVIEW &&
          this.#passes(said, pool) &&
          this.#basisStands(said, 0),
      );
    });
  }

  /**
   * Whether all that a review builds on stands; a basis may have expired.
   * @param {Said} said
   * @param {number} depth
   * @returns {boolean}
   */
  #basisStands([entry, { basis, issuer }], depth) {
    if (basis === undefined) return true;
    const pool = this.#reviewsOf(issuer, basis.commit);
    const place = `${issuer} ${basis.commit}`;
    const failed = this.#failed.get(place) ?? this.#failsIn(pool).length > 0;
    this.#failed.set(place, failed);
    if (depth >= limits.BASIS_CHAIN || failed) return false;
    return this.#audits(pool).some(
      (earlier) =>
        earlier[0].sha256 === basis.sha256 &&
        earlier[0].index < entry.index &&
        !this.judge.silent(earlier[0], this.rules.pins) &&
        !this.#withdrawn(earlier[0], pool, { lifting: false }) &&
        this.#basisStands(earlier, depth + 1),
    );
  }

  /**
   * What a counted source review builds on, the newest first.
   * @param {Audit} audit
   * @returns {Audit[]}
   */
  foundation(audit) {
    /** @type {Audit[]} */
    const found = [];
    let last = audit;
    while (last.basis !== undefined && found.length <= limits.BASIS_CHAIN) {
      const { commit, sha256: wanted } = last.basis;
      const pool = this.#reviewsOf(last.issuer, commit);
      const earlier = pool.find((entry) => entry.sha256 === wanted)?.predicate;
      if (earlier?.kind !== "audit") break;
      last = earlier;
      found.push(last);
    }
    return found;
  }

  /**
   * @param {string} name
   * @param {string} commit
   */
  #reviewsOf(name, commit) {
    return this.subject.reviews.get(name)?.get(commit) ?? [];
  }
}

/**
 * Quorums count distinct identities.
 * @param {readonly Said[]} audits
 * @returns {string[]}
 */
export function distinct(audits) {
  return [...new Set(audits.map(([, audit]) => audit.issuer))];
}
