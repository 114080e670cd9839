/**
 * The errors of pcrlog: one family a cause, as in pcrlog/errors.py.
 *
 * A message says what was expected, what was found and, where there is anything to do,
 * what to do. Whoever calls a parser of outside bytes need only catch `MalformedError`;
 * whoever calls a verification, `PcrlogError`. Anything else that is thrown is a mistake
 * in this package.
 */

/** Base of all errors raised on purpose. Never thrown itself. */
export class PcrlogError extends Error {
  /** The one word of the conformance vectors for this family (docs/conformance.md). */
  word = "refused";

  /** @param {string} message lower case: expected, found, what to do */
  constructor(message) {
    super(message);
    this.name = new.target.name;
  }
}

/** Bytes from outside that are not of their format, or not its one spelling. */
export class MalformedError extends PcrlogError {
  word = "malformed";
}

/** Well-formed evidence that is false: a signature, proof or rule does not hold. */
export class VerificationError extends PcrlogError {}

/** Two checkpoints signed by one log that cannot both be true. */
export class InconsistencyError extends VerificationError {
  /**
   * @param {string} message
   * @param {Uint8Array} ours the checkpoint note that was remembered or seen elsewhere
   * @param {Uint8Array} theirs the checkpoint note that contradicts it
   */
  constructor(message, ours, theirs) {
    super(message);
    this.ours = ours;
    this.theirs = theirs;
  }
}

/** The check could not be made: something is missing, stale, or too new for us. */
export class UncheckedError extends PcrlogError {
  word = "unchecked";
}

/** The caller asked for what makes no sense: an argument, a policy, a trusted root. */
export class UsageError extends PcrlogError {
  word = "usage";
}
