/**
 * C2SP tlog-checkpoint and tlog-cosignature: what a log signs, who signs beside it.
 *
 * A checkpoint is a signed note whose text is three lines, and never more (an extension
 * line is refused: what it would carry is in the seal, docs/protocol.md 2.4):
 *
 *     <origin>
 *     <size of the tree, decimal>
 *     <base64 root>
 *
 * A cosignature line (type 0x04) holds, after its key hash, a u64 of unix seconds and an
 * Ed25519 signature over `cosignature/v1 LF time <seconds> LF` and the whole text.
 */

import * as limits from "./limits.js";
import {
  decodeBase64,
  encodeText,
  parseDecimal,
  readInteger,
  shown,
} from "./encoding.js";
import { MalformedError, VerificationError } from "./errors.js";
import { HASH_SIZE } from "./merkle.js";
import { COSIGNATURE } from "./note.js";

/** @import { Bytes } from "./encoding.js" */
/** @import { UnverifiedNote, VerifierKey } from "./note.js" */

const TIME_SIZE = 8;
const COSIGNATURE_SIZE = TIME_SIZE + 64;

/** The state of a log: `origin`, `size` in leaves, `root` (32 bytes). */
export class Checkpoint {
  /**
   * @param {string} origin
   * @param {bigint} size
   * @param {Bytes} root
   */
  constructor(origin, size, root) {
    this.origin = origin;
    this.size = size;
    this.root = root;
  }

  /**
   * Read a checkpoint's text; whoever calls this has checked its signature.
   * @param {string} text
   * @throws {MalformedError} not three lines, or one of another form
   */
  static parse(text) {
    const [origin, size, root, ...rest] = text.split("\n");
    if (origin === "" || rest.length !== 1 || rest[0] !== "") {
      throw new MalformedError(
        `expected a checkpoint of three lines, found ${shown(text)}`,
      );
    }
    const hash = decodeBase64(root);
    if (hash.length !== HASH_SIZE) {
      throw new MalformedError(
        `checkpoint: root has ${hash.length} bytes, want ${HASH_SIZE}`,
      );
    }
    return new Checkpoint(origin, parseDecimal(size), hash);
  }
}

/**
 * The checkpoint in `note`, signed by the log's `key`.
 * @param {UnverifiedNote} note
 * @param {VerifierKey} key
 * @throws {MalformedError} its text is no checkpoint
 * @throws {VerificationError} not signed by this key, or of another origin than its name
 */
export async function openCheckpoint(note, key) {
  const checkpoint = Checkpoint.parse(await note.verify(key));
  if (checkpoint.origin !== key.name) {
    const found = shown(checkpoint.origin);
    throw new VerificationError(`checkpoint is of ${found}, want ${key.name}`);
  }
  return checkpoint;
}

/**
 * Who of `keys` (type 0x04) cosigned `note`, and when (unix seconds, the newest).
 *
 * A line that does not verify is no cosignature: that of a witness says nothing against
 * the log (docs/protocol.md section 4, Verdict).
 * @param {UnverifiedNote} note
 * @param {Iterable<VerifierKey>} keys
 * @returns {Promise<Map<VerifierKey, bigint>>}
 */
export async function cosignatures(note, keys) {
  /** @type {Map<VerifierKey, bigint>} */
  const found = new Map();
  for (const key of keys) {
    for (const signature of note.of(key)) {
      const seconds = await cosignedAt(note, key, signature);
      const newest = found.get(key) ?? -1n;
      if (seconds !== undefined && seconds > newest) found.set(key, seconds);
    }
  }
  return found;
}

/**
 * When `key` made this cosignature; undefined if it is none.
 * @param {UnverifiedNote} note
 * @param {VerifierKey} key
 * @param {Bytes} signature
 */
async function cosignedAt(note, key, signature) {
  if (key.kind !== COSIGNATURE || signature.length !== COSIGNATURE_SIZE)
    return undefined;
  const seconds = readInteger(signature.subarray(0, TIME_SIZE));
  if (seconds > limits.COSIGNATURE_TIME) return undefined;
  const message = encodeText(`cosignature/v1\ntime ${seconds}\n${note.text}`);
  try {
    await key.check(signature.slice(TIME_SIZE), message);
  } catch (error) {
    if (error instanceof VerificationError) return undefined;
    throw error;
  }
  return seconds;
}
