/**
 * C2SP signed-note: a text and the signature lines under it.
 *
 *     <text, ending in LF>
 *     LF
 *     — <name> <base64 of 4-byte key hash || signature> LF     (one or more)
 *
 * The note is UTF-8 without control characters but LF. A verifier key (vkey) is
 * `<name>+<key hash, 8 hex>+<base64 of type || public key>`, the key hash the first four
 * bytes of SHA-256(name || LF || type || public key). Types used here: 0x01, Ed25519 over
 * the text, for logs; 0x04, a timestamped Ed25519 cosignature, for witnesses and index
 * monitors (checkpoint.js).
 *
 * Name and key hash choose the key. A line of a known key that does not verify condemns
 * the whole note; lines of unknown keys are ignored (docs/protocol.md 7.1).
 */

import * as limits from "./limits.js";
import {
  decodeBase64,
  decodeHex,
  decodeText,
  encodeBase64,
  encodeHex,
  encodeText,
  equalBytes,
  joinBytes,
  sha256,
  shown,
} from "./encoding.js";
import { MalformedError, VerificationError } from "./errors.js";
import { verifyEd25519 } from "./keys.js";
import { checkPoint } from "./points.js";

/** @import { Bytes } from "./encoding.js" */

export const ED25519 = 0x01;
export const COSIGNATURE = 0x04;

const KEY_SIZE = 32;
const HASH_SIZE = 4;
const MOST_NAME = 255;
const CONTROL = /[\x00-\x09\x0b-\x1f]/;
// White space as Unicode has it, and the four separators among the control characters;
// the class \s of this language is another set.
const NAME = /^[^+\p{White_Space}\x1c-\x1f\p{Surrogate}]+$/u;
const LINE = /^\u2014 ([^ ]+) ([0-9A-Za-z+/]+={0,2})$/;

/** @param {string} name */
function isName(name) {
  return NAME.test(name) && encodeText(name).length <= MOST_NAME;
}

/** A public key as notes name it: `name`, `kind` (0x01 or 0x04), 32 raw bytes. */
export class VerifierKey {
  /**
   * @param {string} name
   * @param {number} kind
   * @param {Bytes} key
   * @param {Bytes} keyHash the four bytes that lead this key's signatures
   */
  constructor(name, kind, key, keyHash) {
    this.name = name;
    this.kind = kind;
    this.key = key;
    this.keyHash = keyHash;
  }

  /**
   * The key that a vkey spells.
   * @param {string} vkey
   * @throws {MalformedError} not a vkey, a key hash that is not this key's, a type other
   *   than 0x01 and 0x04, or a point that is no key
   */
  static async parse(vkey) {
    // The base64 may hold a plus: only the first two separate.
    const [name, hash, ...rest] = vkey.split("+");
    if (rest.length === 0) {
      throw new MalformedError(
        `expected a vkey <name>+<hash>+<key>, found ${shown(vkey)}`,
      );
    }
    if (!isName(name)) {
      const found = shown(name);
      throw new MalformedError(
        `expected a key name without spaces and plus, found ${found}`,
      );
    }
    const data = decodeBase64(rest.join("+"));
    const [kind] = data;
    if (data.length !== 1 + KEY_SIZE || (kind !== ED25519 && kind !== COSIGNATURE)) {
      throw new MalformedError(
        "vkey: expected type 0x01 or 0x04 and 32 bytes of Ed25519 key",
      );
    }
    checkPoint(data.subarray(1));
    const named = joinBytes(encodeText(`${name}\n`), data);
    const keyHash = (await sha256(named)).slice(0, HASH_SIZE);
    if (!equalBytes(decodeHex(hash, HASH_SIZE), keyHash)) {
      throw new MalformedError(`vkey: its hash is ${hash}, want ${encodeHex(keyHash)}`);
    }
    return new VerifierKey(name, kind, data.slice(1), keyHash);
  }

  /** The vkey. */
  toString() {
    const encoded = encodeBase64(joinBytes(Uint8Array.of(this.kind), this.key));
    return `${this.name}+${encodeHex(this.keyHash)}+${encoded}`;
  }

  /**
   * Check a raw Ed25519 signature.
   * @param {Bytes} signature
   * @param {Bytes} message
   * @throws {VerificationError} it does not verify
   */
  async check(signature, message) {
    if (!(await verifyEd25519(this.key, signature, message))) {
      throw new VerificationError(`signature line of ${this.name} does not verify`);
    }
  }
}

/**
 * One signature line.
 * @typedef {{ readonly name: string, readonly keyHash: Bytes, readonly signature: Bytes }}
 *   SignatureLine
 */

/** A note's `text` (ends in LF) and its lines; nobody has checked a signature. */
export class UnverifiedNote {
  /**
   * @param {string} text
   * @param {readonly SignatureLine[]} lines
   */
  constructor(text, lines) {
    this.text = text;
    this.lines = lines;
  }

  /**
   * Split a note's bytes.
   * @param {Uint8Array} data
   * @throws {MalformedError} too large, not UTF-8, control characters, no text, no
   *   signature lines, or a line that is none
   */
  static parse(data) {
    if (data.length > limits.NOTE) {
      throw new MalformedError(`note has ${data.length} bytes, at most ${limits.NOTE}`);
    }
    const whole = decodeText(data);
    const blank = whole.lastIndexOf("\n\n");
    if (
      CONTROL.test(whole) ||
      blank < 0 ||
      !whole.endsWith("\n") ||
      blank + 2 === whole.length
    ) {
      throw new MalformedError(
        "expected a note: text, a blank line, signature lines, LF at last",
      );
    }
    const rows = whole.slice(blank + 2, -1).split("\n");
    if (rows.length > limits.NOTE_SIGNATURES) {
      throw new MalformedError(`note has ${rows.length} signatures, at most 64`);
    }
    return new UnverifiedNote(whole.slice(0, blank + 1), rows.map(parseLine));
  }

  /**
   * The distinct signatures that claim to be by `key`.
   * @param {VerifierKey} key
   * @returns {Bytes[]}
   */
  of(key) {
    const found = this.lines.filter(
      (line) => line.name === key.name && equalBytes(line.keyHash, key.keyHash),
    );
    const distinct = new Map(
      found.map((line) => [encodeHex(line.signature), line.signature]),
    );
    return [...distinct.values()];
  }

  /**
   * The text, if `key` (type 0x01) signed it and no line of it is wrong.
   * @param {VerifierKey} key
   * @throws {VerificationError} no line of this key, or one that does not verify
   */
  async verify(key) {
    const signatures = this.of(key);
    if (key.kind !== ED25519 || signatures.length === 0) {
      throw new VerificationError(`note has no signature line of ${key}`);
    }
    for (const signature of signatures)
      await key.check(signature, encodeText(this.text));
    return this.text;
  }
}

/**
 * @param {string} row
 * @returns {SignatureLine}
 */
function parseLine(row) {
  const match = LINE.exec(row);
  if (match !== null && isName(match[1])) {
    const data = decodeBase64(match[2]);
    if (data.length > HASH_SIZE) {
      const keyHash = data.slice(0, HASH_SIZE);
      return { name: match[1], keyHash, signature: data.slice(HASH_SIZE) };
    }
  }
  throw new MalformedError(
    `expected a signature line '— name base64', found ${shown(row)}`,
  );
}
