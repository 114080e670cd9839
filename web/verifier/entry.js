/**
 * Entries: a leaf's bytes, read as one of the two kinds that a log holds.
 *
 * A leaf that starts with `{` is a statement in its envelope, one that starts with `p` a
 * seal (docs/protocol.md section 2). Statements are looked at here in form only.
 */

import { FIRST_BYTE, Envelope } from "./envelope.js";
import { MalformedError, UncheckedError } from "./errors.js";
import { FIRST_BYTE as SEAL_FIRST_BYTE } from "./seal.js";
import * as statements from "./statement.js";

/** @import { Bytes } from "./encoding.js" */
/** @import { Statement } from "./statement.js" */

/** A well-formed statement at its `index`; who said it is not checked yet. */
export class Entry {
  /**
   * @param {number} index
   * @param {Envelope} envelope
   * @param {Statement} statement
   */
  constructor(index, envelope, statement) {
    this.index = index;
    this.envelope = envelope;
    this.statement = statement;
  }

  /** The statement's predicate; its `kind` tells which it is. */
  get predicate() {
    return this.statement.predicate;
  }

  /** The statement's hex SHA-256. */
  get sha256() {
    return this.statement.sha256;
  }

  /** The first signer's keyid; the only one, but for identities. */
  get keyid() {
    const [keyid] = this.envelope.signatures.keys();
    return keyid;
  }
}

/**
 * Read a statement leaf.
 * @param {number} index
 * @param {Bytes} leaf
 * @throws {UncheckedError} a kind of leaf or predicate that this version does not know
 * @throws {MalformedError} anything else that is not a legal statement
 */
export async function parseEntry(index, leaf) {
  if (leaf[0] === SEAL_FIRST_BYTE) {
    throw new MalformedError(`entry ${index} is a seal, want a statement`);
  }
  if (leaf[0] !== FIRST_BYTE) {
    throw new UncheckedError(`entry ${index} is of an unknown kind; upgrade pcrlog`);
  }
  return readEntry(index, Envelope.parse(leaf));
}

/**
 * The same, of an envelope that has been read.
 * @param {number} index
 * @param {Envelope} envelope
 * @throws {UncheckedError} a predicate that this version does not know
 * @throws {MalformedError} anything else that is not a legal statement
 */
export async function readEntry(index, envelope) {
  const statement = await statements.parse(envelope.payload);
  const found = [...envelope.signatures.keys()];
  const { predicate } = statement;
  if (predicate.kind === "identity") {
    const { signers } = predicate;
    if (found.join() !== signers.join()) {
      throw new MalformedError(
        `entry ${index}: signatures are not those of its signers`,
      );
    }
  } else if (found.length !== 1) {
    throw new MalformedError(
      `entry ${index}: expected one signature, found ${found.length}`,
    );
  }
  return new Entry(index, envelope, statement);
}
