/**
 * C2SP tlog-proof files: one entry, its inclusion proof, the checkpoint it leads to.
 *
 *     c2sp.org/tlog-proof@v1
 *     index <decimal>
 *     <base64 hash>            (one a line, from the leaf upwards; none if size is 1)
 *                              (a blank line)
 *     <the checkpoint note, to the end of the file>
 *
 * The optional `extra` line of the format is not authenticated; it is read and dropped. A
 * proof shows that an entry is in, never that none speaks against it: that is what
 * bundles are for.
 */

import * as limits from "./limits.js";
import { openCheckpoint } from "./checkpoint.js";
import { decodeBase64, decodeLatin1, parseDecimal, shown } from "./encoding.js";
import { MalformedError } from "./errors.js";
import { HASH_SIZE, checkInclusion, leafHash } from "./merkle.js";
import { UnverifiedNote } from "./note.js";

/** @import { Bytes } from "./encoding.js" */
/** @import { VerifierKey } from "./note.js" */

const HEADER = "c2sp.org/tlog-proof@v1";
const INDEX = "index ";
const EXTRA = "extra ";
const MOST = limits.NOTE + 100 * limits.PROOF_HASHES + 4 * limits.ENVELOPE;

/** An unverified proof: the leaf's `index`, the path's `hashes`, the `note`. */
export class Proof {
  /**
   * @param {bigint} index
   * @param {readonly Bytes[]} hashes
   * @param {Bytes} note
   */
  constructor(index, hashes, note) {
    this.index = index;
    this.hashes = hashes;
    this.note = note;
  }

  /**
   * Read a `.tlog-proof` file.
   * @param {Bytes} data
   * @throws {MalformedError} not of this form
   */
  static parse(data) {
    if (data.length > MOST) {
      throw new MalformedError(`proof has ${data.length} bytes, at most ${MOST}`);
    }
    const file = decodeLatin1(data);
    const blank = file.indexOf("\n\n");
    const [header, ...lines] = file.slice(0, Math.max(0, blank)).split("\n");
    if (lines[0]?.startsWith(EXTRA)) {
      decodeBase64(lines[0].slice(EXTRA.length));
      lines.shift();
    }
    const [place, ...rows] = lines;
    if (
      header !== HEADER ||
      !place?.startsWith(INDEX) ||
      rows.length > limits.PROOF_HASHES
    ) {
      throw new MalformedError(`expected a ${HEADER}, found ${shown(file)}`);
    }
    const index = parseDecimal(place.slice(INDEX.length));
    const hashes = rows.map(decodeBase64);
    if (hashes.some((hash) => hash.length !== HASH_SIZE)) {
      throw new MalformedError(`proof: a hash is not of ${HASH_SIZE} bytes`);
    }
    return new Proof(index, hashes, data.slice(blank + 2));
  }

  /**
   * The checkpoint, signed by the log's `key`, that has `entry` at `index`.
   * @param {Bytes} entry
   * @param {VerifierKey} key
   * @throws {MalformedError} the note is none
   * @throws {VerificationError} a signature or the path does not hold
   */
  async verify(entry, key) {
    const checkpoint = await openCheckpoint(UnverifiedNote.parse(this.note), key);
    const leaf = await leafHash(entry);
    await checkInclusion(
      leaf,
      this.index,
      checkpoint.size,
      this.hashes,
      checkpoint.root,
    );
    return checkpoint;
  }
}
