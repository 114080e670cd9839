/**
 * What the log has to say: checks `answers.*` and `entries.*`.
 *
 * A bundle is read only where it is asked, and each thing it gives is proven first,
 * against the one checkpoint that the log signed. What is missing makes a check
 * unchecked, what is false makes it fail; either way the asker gets nothing for it
 * (docs/protocol.md section 4).
 */

import * as trie from "../trie.js";
import { Authority, checkTarget } from "../authority.js";
import { readEntry } from "../entry.js";
import {
  MalformedError,
  PcrlogError,
  UncheckedError,
  VerificationError,
} from "../errors.js";
import { keyHash, keysOfPayload } from "../index-keys.js";
import { checkInclusion, leafHash } from "../merkle.js";
import { predicateTypeOf } from "../statement.js";

/** @import { Bundle } from "../bundle.js" */
/** @import { Entry } from "../entry.js" */
/** @import { Recorder } from "./checks.js" */
/** @import { Opened } from "./log.js" */

/** Predicate types of this family speak neither for nor against anything. */
const SKIPPED_FAMILY = "urn:pcrlog:info:";
const PROVEN = "each proven by the seal's root";
const IN_THE_TREE = "each in the tree";
const AUTHORITY = "each said by who may say it, at its index";

/**
 * An entry as it was read: the keys that it yields, none if it could not be had, and
 * the entry itself, if it is one that can speak.
 * @typedef {{ keys: readonly string[], entry?: Entry }} Read
 */

/** Verified reads from a bundle; the `ask` of a gathering. */
export class Evidence {
  #bundle;
  #opened;
  #recorder;
  /** @type {Map<number, Read>} */
  #entries = new Map();
  /** @type {Map<string, readonly Entry[]>} */
  #asked = new Map();
  /** @type {string[]} */
  #missing = [];
  #unread = false;

  /**
   * @param {Bundle} bundle
   * @param {Opened} opened
   * @param {Recorder} recorder
   */
  constructor(bundle, opened, recorder) {
    this.#bundle = bundle;
    this.#opened = opened;
    this.#recorder = recorder;
  }

  /**
   * The entries under a key that has to be answered.
   * @param {string} key
   * @returns {Promise<readonly Entry[]>}
   */
  async ask(key) {
    if (!this.#bundle.answers.has(key)) {
      this.#missing.push(key);
      return [];
    }
    return this.askIfThere(key);
  }

  /**
   * The entries under a key, none if the bundle does not answer it.
   * @param {string} key
   * @returns {Promise<readonly Entry[]>}
   */
  async askIfThere(key) {
    const known = this.#asked.get(key);
    if (known !== undefined) return known;
    const entries = await this.#read(key);
    this.#asked.set(key, entries);
    return entries;
  }

  /** Whether all that was asked for was there, was proven and could be read. */
  get complete() {
    return this.#missing.length === 0 && !this.#unread;
  }

  /** Record what `ask` came to: all answers present, all proofs right. */
  conclude() {
    const recorder = this.#recorder;
    const lacks = this.#missing.length > 0;
    const answers = `${this.#asked.size} answers`;
    const missing = lacks ? `; missing: ${this.#missing.slice(0, 3).join(", ")}` : "";
    const found = answers + missing;
    const status = lacks ? "unchecked" : "pass";
    recorder.note("answers.present", status, "an answer to each key", found);
    recorder.note("answers.proofs", "pass", PROVEN, found);
    const entries = `${this.#entries.size} entries`;
    recorder.note("entries.inclusion", "pass", IN_THE_TREE, entries);
  }

  /**
   * @param {string} key
   * @returns {Promise<readonly Entry[]>}
   */
  async #read(key) {
    const answer = this.#bundle.answers.get(key);
    if (answer === undefined) return [];
    const { indices, proof } = answer;
    const { root } = this.#opened.seal;
    try {
      const hashed = await keyHash(key);
      if (indices.length === 0) {
        await trie.checkAbsence(root, hashed, proof);
      } else {
        if (indices.some((index, at) => at > 0 && index <= indices[at - 1])) {
          throw new MalformedError("indices are not ascending");
        }
        await trie.checkPresence(root, hashed, await trie.valueOf(indices), proof);
      }
    } catch (error) {
      if (!(error instanceof PcrlogError)) throw error;
      this.#unread = true;
      this.#recorder.note("answers.proofs", "fail", PROVEN, `${key}: ${error.message}`);
      return [];
    }
    /** @type {Entry[]} */
    const found = [];
    for (const index of indices) {
      const entry = await this.#entry(index, key);
      if (entry !== undefined) found.push(entry);
    }
    return found;
  }

  /**
   * @param {number} index
   * @param {string} key
   * @returns {Promise<Entry | undefined>}
   */
  async #entry(index, key) {
    const read = this.#entries.get(index) ?? (await this.#readEntry(index));
    if (read === undefined) {
      this.#missing.push(`entry ${index}`);
      return undefined;
    }
    this.#entries.set(index, read);
    if (read.keys.length > 0 && !read.keys.includes(key)) {
      const expected = "an entry that yields the key it is given for";
      this.#recorder.note("answers.proofs", "fail", expected, `${index}: ${key}`);
    }
    return read.entry;
  }

  /**
   * @param {number} index
   * @returns {Promise<Read | undefined>} undefined if the bundle does not have it
   */
  async #readEntry(index) {
    const included = this.#bundle.entries.get(index);
    if (included === undefined) return undefined;
    const recorder = this.#recorder;
    const { checkpoint } = this.#opened;
    const { envelope, proof } = included;
    try {
      const leaf = await leafHash(envelope.raw);
      await checkInclusion(
        leaf,
        BigInt(index),
        checkpoint.size,
        proof,
        checkpoint.root,
      );
    } catch (error) {
      if (!(error instanceof VerificationError)) throw error;
      this.#unread = true;
      recorder.note("entries.inclusion", "fail", IN_THE_TREE, error.message);
      return { keys: [] };
    }
    const yielded = keysOfPayload(envelope.payload);
    const keys = yielded.length > 0 ? yielded : ["none"];
    try {
      return { keys, entry: await readEntry(index, envelope) };
    } catch (error) {
      if (error instanceof UncheckedError) {
        if (predicateTypeOf(envelope.payload).startsWith(SKIPPED_FAMILY))
          return { keys };
        this.#unread = true;
        recorder.note("entries.authority", "unchecked", AUTHORITY, error.message);
      } else if (error instanceof MalformedError) {
        const found = `entry ${index}: ${error.message}`;
        recorder.note("entries.authority", "fail", AUTHORITY, found);
      } else {
        throw error;
      }
    }
    return { keys };
  }
}

/**
 * Check `entries.authority`: the forward pass over all entries found, ascending.
 *
 * Where an entry could not be had or read (not `complete`), who may say what cannot be
 * told: nothing is refuted by it then.
 * @param {readonly Entry[]} entries
 * @param {Opened} opened
 * @param {Recorder} recorder
 * @param {{ complete: boolean }} options
 * @returns {Promise<{ authority: Authority, refused: Set<number> }>} `refused`: the
 *   indices of the entries that the authority did not accept
 */
export async function judgeEntries(entries, opened, recorder, options) {
  const check = "entries.authority";
  const authority = new Authority(opened.checkpoint.origin);
  let { complete } = options;
  /** @type {Map<string, Entry>} */
  const known = new Map();
  /** @type {Set<number>} */
  const refused = new Set();
  for (const entry of entries) {
    try {
      await authority.accept(entry);
      checkTarget(entry, known);
    } catch (error) {
      const unchecked = error instanceof UncheckedError;
      if (!unchecked && !(error instanceof VerificationError)) throw error;
      refused.add(entry.index);
      complete &&= !unchecked;
      recorder.note(check, complete ? "fail" : "unchecked", AUTHORITY, error.message);
    }
    if (!known.has(entry.sha256)) known.set(entry.sha256, entry);
  }
  const pinned = opened.log.registrar;
  if (!authority.rootKeys().has(pinned)) {
    const seen = entries.some((entry) => entry.index === 0);
    const found = `entry 0 has no root key ${pinned}`;
    recorder.note(check, seen ? "fail" : "unchecked", "the policy's registrar", found);
  }
  recorder.note(check, "pass", AUTHORITY, `${entries.length} entries`);
  return { authority, refused };
}
