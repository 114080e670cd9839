/**
 * Bundles: all that verification needs to ask of a log, with its proofs, in one file.
 *
 *     {"answers": [{"indices": [4, 9], "key": "v1/by/…", "path": [[7, 0], [2, 5]]}, …],
 *      "checkpoint": the note with its cosignatures,
 *      "entries": [{"index": 4, "proof": [1, 3], "signatures": […], "statement": {…}}, …],
 *      "format": "pcrlog-bundle/v1",
 *      "hashes": [base64, …],
 *      "seal": {"leaf": the last leaf, "proof": [2, 6]}}
 *
 * Canonical JSON, at most 1 MiB, 1,024 entries, 512 answers (docs/protocol.md 4.2). Every
 * hash stands once in `hashes` and is named by its place there. An answer maps a key to
 * all its indices: `path` is the trie proof, (bit, hash) from leaf to root; where the key
 * is absent, `other` names the key and the value of the leaf found in its place. An entry
 * is its statement, as JSON, and its signatures: the envelope, and so the leaf, is
 * rebuilt from them byte for byte. Nothing in a bundle is checked by reading it.
 */

import * as limits from "./limits.js";
import { decodeJson, encodeHex, encodeText, jsonText } from "./encoding.js";
import { Envelope, SIGNATURE } from "./envelope.js";
import { MalformedError } from "./errors.js";
import { HASH_SIZE } from "./merkle.js";
import { base64, integer, list, object, oneOf, pair, record, text } from "./shapes.js";
import { encodeProof } from "./trie.js";

/** @import { Bytes, JsonObject, JsonValue } from "./encoding.js" */

/** Bytes that a hash takes in the table, with quotes and comma, at the least. */
const HASH_TEXT = 44;
const BEYOND_ASCII = /[^\x00-\x7f]/;

const ref = integer(Math.floor(limits.BUNDLE / HASH_TEXT));
const path = list(ref, { most: limits.PROOF_HASHES });

const ANSWER = record(
  {
    key: text(/^[!-~]{1,512}$/),
    path: list(pair(integer(limits.TRIE_DEPTH - 1), ref), { most: limits.TRIE_DEPTH }),
    indices: list(integer()),
  },
  { other: pair(ref, ref) },
);
/** @typedef {ReturnType<typeof ANSWER>} RawAnswer */

const BUNDLE = record({
  format: oneOf("pcrlog-bundle/v1"),
  checkpoint: note,
  seal: record({ leaf: text(/^[\n -~]{0,256}$/), proof: path }),
  answers: list(ANSWER, { most: limits.BUNDLE_ANSWERS }),
  entries: list(
    record({
      index: integer(),
      proof: path,
      signatures: list(SIGNATURE, { least: 1, most: 2 }),
      statement: object,
    }),
    { most: limits.BUNDLE_ENTRIES },
  ),
  hashes: list(base64({ least: HASH_SIZE, most: HASH_SIZE })),
});

/**
 * A note as a string: counted in characters, of which some take two units here.
 * @param {JsonValue | undefined} value
 * @param {string} where
 */
function note(value, where) {
  const found = text(/^/)(value, where);
  const { length } = [...found];
  if (length > limits.NOTE) {
    throw new MalformedError(`${where}: ${length} characters, at most ${limits.NOTE}`);
  }
  return found;
}

/**
 * All `indices` under a key, and the trie `proof` of that.
 * @typedef {{ readonly indices: readonly number[], readonly proof: Bytes }} Answer
 */
/**
 * A statement's envelope, whose bytes are the leaf, and its inclusion `proof`.
 * @typedef {{ readonly envelope: Envelope, readonly proof: readonly Bytes[] }} Included
 */

/** A bundle, unverified: checkpoint `note`, last leaf `seal` with its proof. */
export class Bundle {
  /**
   * @param {Bytes} note
   * @param {Bytes} seal
   * @param {readonly Bytes[]} sealProof
   * @param {ReadonlyMap<string, Answer>} answers by key string
   * @param {ReadonlyMap<number, Included>} entries by index
   */
  constructor(note, seal, sealProof, answers, entries) {
    this.note = note;
    this.seal = seal;
    this.sealProof = sealProof;
    this.answers = answers;
    this.entries = entries;
  }

  /**
   * Read a bundle.
   * @param {Bytes} data
   * @throws {MalformedError} too large, not canonical, a hash that is not in the table, a
   *   key or an index twice
   */
  static parse(data) {
    if (data.length > limits.BUNDLE) {
      throw new MalformedError(
        `bundle has ${data.length} bytes, at most ${limits.BUNDLE}`,
      );
    }
    const raw = BUNDLE(decodeJson(data, { asciiOnly: false }), "bundle");
    const keysAscend = raw.answers.every(
      ({ key }, at) => at === 0 || raw.answers[at - 1].key < key,
    );
    const indicesAscend = raw.entries.every(
      ({ index }, at) => at === 0 || raw.entries[at - 1].index < index,
    );
    if (!keysAscend || !indicesAscend) {
      throw new MalformedError(
        "bundle: expected answers and entries ascending, each once",
      );
    }
    const hashes = new Hashes(raw.hashes);
    const answers = new Map(
      raw.answers.map((answer) => [
        answer.key,
        { indices: answer.indices, proof: trieProof(answer, hashes) },
      ]),
    );
    const entries = new Map(
      raw.entries.map(({ index, proof, signatures, statement }) => [
        index,
        {
          envelope: Envelope.rebuild(payloadOf(index, statement), signatures),
          proof: hashes.path(proof),
        },
      ]),
    );
    const sealProof = hashes.path(raw.seal.proof);
    hashes.checkUsed();
    const [note, seal] = [encodeText(raw.checkpoint), encodeText(raw.seal.leaf)];
    return new Bundle(note, seal, sealProof, answers, entries);
  }
}

/**
 * The bundle is canonical, so these are the bytes that stand in it.
 * @param {number} index
 * @param {JsonObject} statement
 */
function payloadOf(index, statement) {
  const payload = jsonText(statement);
  if (BEYOND_ASCII.test(payload)) {
    throw new MalformedError(`bundle: entry ${index} has characters beyond ASCII`);
  }
  return encodeText(payload);
}

/** The table of hashes, which stand in the order of their first use. */
class Hashes {
  #values;
  #used = 0;

  /** @param {readonly Bytes[]} values */
  constructor(values) {
    this.#values = values;
  }

  /**
   * The hashes at these places.
   * @param {readonly number[]} refs
   */
  path(refs) {
    return refs.map((place) => {
      if (place > this.#used || place >= this.#values.length) {
        throw new MalformedError(
          "bundle: expected hashes in the order of their first use",
        );
      }
      if (place === this.#used) this.#used += 1;
      return this.#values[place];
    });
  }

  /** Check that each hash stands once, and none is idle. */
  checkUsed() {
    const distinct = new Set(this.#values.map(encodeHex));
    if (this.#used !== this.#values.length || distinct.size !== this.#used) {
      throw new MalformedError(
        "bundle: a hash stands twice in the table, or is not used",
      );
    }
  }
}

/**
 * The bytes of an answer's proof.
 * @param {RawAnswer} answer
 * @param {Hashes} hashes
 */
function trieProof({ indices, key, other, path: steps }, hashes) {
  if (steps.some(([bit], at) => at > 0 && steps[at - 1][0] <= bit)) {
    throw new MalformedError(`bundle: ${key}: bits of a path decrease`);
  }
  const present = indices.length > 0;
  if (present ? other !== undefined : steps.length > 0 && other === undefined) {
    throw new MalformedError(
      `bundle: ${key}: \`other\` goes with absence, and is needed there`,
    );
  }
  const siblings = hashes.path(steps.map(([, place]) => place));
  const path = steps.map(([bit], at) => ({ bit, sibling: siblings[at] }));
  if (other === undefined) return encodeProof(path);
  const [leafKey, value] = hashes.path(other);
  return encodeProof(path, { key: leafKey, value });
}
