/**
 * What speaks for something, and what takes it back (docs/protocol.md 2.2, 2.3).
 *
 * A `Judge` holds what does not change in one run: the authority over all entries
 * found, the policy, the clocks. releases.js and audits.js ask it; nothing here or
 * there decides a verdict.
 */

import { parseTime } from "../encoding.js";
import { MEASUREMENT_REASONS, STATEMENT_REASONS } from "../statement.js";

/** @import { Authority } from "../authority.js" */
/** @import { Entry } from "../entry.js" */
/** @import { Policy } from "../policy.js" */
/** @import { Revocation } from "../predicates.js" */
/** @typedef {ReadonlyMap<string, readonly string[]>} Pins name to the keyids pinned for it */

/** Another reason revokes (docs/protocol.md 2.5), but lifts nothing. */
const REASONS = [...MEASUREMENT_REASONS, ...STATEMENT_REASONS];

/** One run's judgement. */
export class Judge {
  /**
   * @param {Authority} authority
   * @param {Policy} policy
   * @param {number} now unix seconds, for evidence
   * @param {number} at unix seconds, for what expires
   */
  constructor(authority, policy, now, at) {
    this.authority = authority;
    this.policy = policy;
    this.now = now;
    this.at = at;
  }

  /**
   * Whether a statement has run out.
   * @param {string | undefined} expires
   */
  expired(expires) {
    return expires !== undefined && this.at >= parseTime(expires);
  }

  /**
   * Why a statement speaks for nothing; empty if it may speak for something.
   * @param {Entry} entry
   * @param {Pins} pins
   */
  silent(entry, pins) {
    const { distrust } = this.policy;
    const { issuer } = entry.predicate;
    if (this.authority.isVoid(entry)) {
      return "is void: its key was declared compromised, or lost its standing";
    }
    if (
      distrust.statements.includes(entry.sha256) ||
      distrust.keys.includes(entry.keyid) ||
      this.#distrusted(entry)
    ) {
      return "is distrusted by the policy";
    }
    const pinned = pins.get(issuer);
    if (
      pinned !== undefined &&
      !this.authority.pinned(issuer, pinned).has(entry.keyid)
    ) {
      return `is signed by ${entry.keyid.slice(0, 16)}…, which the policy does not pin`;
    }
    return "";
  }

  /** @param {Entry} entry */
  #distrusted({ predicate, statement }) {
    const platform = "platform" in predicate ? predicate.platform : "";
    const { measurements } = this.policy.distrust;
    return statement.measurements.some((one) =>
      measurements.includes(`${platform}/${one}`),
    );
  }

  /**
   * What revokes a statement, among statements about the same measurement.
   * @param {Entry} entry a release or audit
   * @param {Iterable<Entry>} said statements by its issuer or, for releases, the registrar
   * @param {Pins} [lifting] absent where the revocation is evidence against, which
   *   outlives its key; the pins where it would lift a fail or a conflict, for which it
   *   has to speak
   * @returns {Entry | undefined}
   */
  revocationOf(entry, said, lifting) {
    for (const [candidate, revocation] of revocations(said)) {
      // First what is cheap: a log may hold hundreds about something else.
      const { statement, reason } = revocation;
      const names = statement === entry.sha256 && this.#effective(revocation);
      if (statement !== undefined && !names) continue;
      if (lifting === undefined) return candidate;
      if (REASONS.includes(reason) && !this.silent(candidate, lifting))
        return candidate;
    }
    return undefined;
  }

  /** @param {Revocation} revocation */
  #effective({ effective }) {
    return effective === undefined || parseTime(effective) <= this.now;
  }
}

/**
 * The revocations among statements.
 * @param {Iterable<Entry>} said
 * @returns {Iterable<[Entry, Revocation]>}
 */
export function* revocations(said) {
  for (const entry of said) {
    const { predicate } = entry;
    if (predicate.kind === "revocation") yield [entry, predicate];
  }
}
