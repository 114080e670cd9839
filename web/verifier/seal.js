/**
 * Seals: the log's own line about itself, the last leaf of each checkpoint.
 *
 *     pcrlog/seal/v1
 *     <number of leaves before this one>
 *     <unix time in seconds>
 *     <base64 root of the index over all leaves before this one>
 *     frozen                                  (only in the last leaf that a log ever has)
 *
 * ASCII, each line ended by LF (docs/protocol.md 2.4). A leaf that starts with `p` is a
 * seal; one with another first line is of a version that this code does not know.
 */

import { LATEST, decodeBase64, decodeLatin1, parseDecimal, shown } from "./encoding.js";
import { MalformedError, UncheckedError } from "./errors.js";
import { HASH_SIZE } from "./merkle.js";

/** @import { Bytes } from "./encoding.js" */

/** `p`: the first byte of a leaf that is a seal. */
export const FIRST_BYTE = 0x70;
const FAMILY = "pcrlog/seal/";
const HEADER = "pcrlog/seal/v1";

/** `count` leaves before it, `time` (unix seconds), index `root`, `frozen`. */
export class Seal {
  /**
   * @param {bigint} count
   * @param {number} time
   * @param {Bytes} root
   * @param {boolean} frozen
   */
  constructor(count, time, root, frozen) {
    this.count = count;
    this.time = time;
    this.root = root;
    this.frozen = frozen;
  }

  /**
   * Read a leaf.
   * @param {Uint8Array} leaf
   * @throws {UncheckedError} a version of seals that is not known here
   * @throws {MalformedError} not a seal
   */
  static parse(leaf) {
    const text = decodeLatin1(leaf);
    const [header, count, time, root, ...rest] = text.split("\n");
    if (header !== HEADER) {
      const message = `expected a seal ${HEADER}, found ${shown(header)}`;
      if (text.startsWith(FAMILY)) throw new UncheckedError(message);
      throw new MalformedError(message);
    }
    const end = rest.join("\n");
    if ((end !== "" && end !== "frozen\n") || rest.length === 0) {
      throw new MalformedError(
        "expected a seal of four lines, and `frozen` or nothing after",
      );
    }
    const hash = decodeBase64(root);
    if (hash.length !== HASH_SIZE) {
      throw new MalformedError(
        `seal: root has ${hash.length} bytes, want ${HASH_SIZE}`,
      );
    }
    // A report writes the time out: later ones would have no spelling.
    const seconds = Number(parseDecimal(time, BigInt(LATEST)));
    return new Seal(parseDecimal(count), seconds, hash, end !== "");
  }
}
