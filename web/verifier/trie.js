/**
 * The index trie: a verifiable map from 32-byte keys to 32-byte values.
 *
 * A Merkle Patricia trie, path-compressed, bit 0 the most significant of byte 0; its
 * shape depends on the set of keys alone (docs/protocol.md section 3):
 *
 *     empty  SHA-256 of nothing
 *     leaf   SHA-256(00 || uvarint(32) || key || uvarint(32) || value)
 *     inner  SHA-256(01 || uvarint(bit) || left || right)   bit: first that differs below
 *
 * A proof of presence is the path from leaf to root, each step uvarint(bit) || sibling,
 * bits strictly decreasing. A proof of absence is another leaf (uvarint(32) || key ||
 * uvarint(32) || value) and its path, which the absent key would have to share.
 */

import { encodeHex, encodeU64, equalBytes, joinBytes, sha256 } from "./encoding.js";
import { MalformedError, VerificationError } from "./errors.js";

/** @import { Bytes } from "./encoding.js" */
/**
 * One step of a path: the bit at which a node branches, and the other side's hash.
 * @typedef {{ readonly bit: number, readonly sibling: Bytes }} Step
 */
/** @typedef {{ readonly key: Bytes, readonly value: Bytes }} Leaf */

const KEY_SIZE = 32;
const BITS = 8 * KEY_SIZE;
/** In an uvarint: one more byte follows. */
const CONTINUED = 0x80;
/** Bytes of a leaf in a proof: two lengths of one byte, key and value. */
const LEAF_SIZE = 2 * (1 + KEY_SIZE);

const LEAF = Uint8Array.of(0x00);
const INNER = Uint8Array.of(0x01);
const LENGTH = Uint8Array.of(KEY_SIZE);

/**
 * Check that the trie under `root` maps `key` to `value`.
 * @param {Bytes} root
 * @param {Bytes} key
 * @param {Bytes} value
 * @param {Bytes} proof
 * @throws {MalformedError} the proof is not of its form
 * @throws {VerificationError} it leads to another root
 */
export async function checkPresence(root, key, value, proof) {
  await checkPath(root, { key, value }, readSteps(proof));
}

/**
 * Check that the trie under `root` does not hold `key`.
 * @param {Bytes} root
 * @param {Bytes} key
 * @param {Bytes} proof
 * @throws {MalformedError} the proof is not of its form
 * @throws {VerificationError} it leads to another root, or does not exclude the key
 */
export async function checkAbsence(root, key, proof) {
  if (proof.length === 0) {
    if (!equalBytes(root, await sha256(proof))) {
      throw new VerificationError(
        "absence: an empty proof holds for the empty trie alone",
      );
    }
    return;
  }
  const other = readLeaf(proof.slice(0, LEAF_SIZE));
  const steps = readSteps(proof.slice(LEAF_SIZE));
  if (equalBytes(other.key, key)) {
    throw new VerificationError("absence: the proof shows the key itself");
  }
  const apart = steps.find(({ bit }) => bitOf(other.key, bit) !== bitOf(key, bit));
  if (apart !== undefined) {
    throw new VerificationError(
      `absence: the path branches at bit ${apart.bit}, where the keys differ`,
    );
  }
  await checkPath(root, other, steps);
}

/**
 * A proof's bytes from its steps and, for absence, the other leaf.
 * @param {readonly Step[]} steps
 * @param {Leaf} [other]
 * @returns {Bytes}
 */
export function encodeProof(steps, other) {
  const path = steps.flatMap(({ bit, sibling }) => [uvarint(bit), sibling]);
  return joinBytes(...(other === undefined ? [] : [leafBytes(other)]), ...path);
}

/**
 * The value under a key: SHA-256 of its ascending indices, each a u64.
 * @param {readonly number[]} indices
 */
export function valueOf(indices) {
  // Not `joinBytes`: a bundle has room for more indices than a call takes arguments.
  const joined = new Uint8Array(8 * indices.length);
  for (const [at, index] of indices.entries()) {
    joined.set(encodeU64(BigInt(index)), 8 * at);
  }
  return sha256(joined);
}

/**
 * The root of the trie that holds `values`, in any order, each key once.
 * @param {readonly Leaf[]} values
 * @returns {Promise<Bytes>}
 */
export async function rootOf(values) {
  if (values.length === 0) return sha256(new Uint8Array(0));
  const [first, ...others] = values;
  if (others.length === 0) return leafHash(first);
  // The node branches at the first bit in which any of them differs from the first.
  const bit = Math.min(...others.map(({ key }) => firstDifference(first.key, key)));
  const left = await rootOf(values.filter(({ key }) => bitOf(key, bit) === 0));
  const right = await rootOf(values.filter(({ key }) => bitOf(key, bit) === 1));
  return innerHash(bit, left, right);
}

/**
 * Walk from a leaf to the root.
 * @param {Bytes} root
 * @param {Leaf} leaf
 * @param {readonly Step[]} steps
 */
async function checkPath(root, leaf, steps) {
  let node = await leafHash(leaf);
  for (const { bit, sibling } of steps) {
    const right = bitOf(leaf.key, bit) === 1;
    node = await (right
      ? innerHash(bit, sibling, node)
      : innerHash(bit, node, sibling));
  }
  if (!equalBytes(node, root)) {
    throw new VerificationError(
      `trie proof leads to root ${encodeHex(node)}, want ${encodeHex(root)}`,
    );
  }
}

/**
 * The other leaf of a proof of absence.
 * @param {Bytes} data
 * @returns {Leaf}
 */
function readLeaf(data) {
  const key = data.slice(1, 1 + KEY_SIZE);
  const value = data.slice(2 + KEY_SIZE);
  if (value.length !== KEY_SIZE || !equalBytes(leafBytes({ key, value }), data)) {
    throw new MalformedError(
      "absence: expected a leaf of a 32-byte key and a 32-byte value",
    );
  }
  return { key, value };
}

/**
 * The steps of a path.
 * @param {Bytes} data
 * @returns {Step[]}
 */
function readSteps(data) {
  const steps = [];
  let above = BITS;
  let at = 0;
  while (at < data.length) {
    const bit = data[at];
    const size = bit < CONTINUED ? 1 : 2;
    if (size === 2 && data[at + 1] !== 1) {
      throw new MalformedError(
        "trie proof: a bit's number is not a minimal uvarint below 256",
      );
    }
    const sibling = data.slice(at + size, at + size + KEY_SIZE);
    if (bit >= above || sibling.length !== KEY_SIZE) {
      throw new MalformedError(
        "trie proof: bits do not decrease, or a hash is cut short",
      );
    }
    steps.push({ bit, sibling });
    above = bit;
    at += size + KEY_SIZE;
  }
  return steps;
}

/** @param {Leaf} leaf */
function leafBytes({ key, value }) {
  return joinBytes(LENGTH, key, LENGTH, value);
}

/** @param {Leaf} leaf */
function leafHash(leaf) {
  return sha256(joinBytes(LEAF, leafBytes(leaf)));
}

/**
 * @param {number} bit
 * @param {Bytes} left
 * @param {Bytes} right
 */
function innerHash(bit, left, right) {
  return sha256(joinBytes(INNER, uvarint(bit), left, right));
}

/**
 * A number below 256: at most two bytes, and the first is the number itself, since its
 * top bit is the one that says that a byte follows.
 * @param {number} bit
 * @returns {Bytes}
 */
function uvarint(bit) {
  return bit < CONTINUED ? Uint8Array.of(bit) : Uint8Array.of(bit, 1);
}

/**
 * @param {Bytes} key
 * @param {number} position
 */
function bitOf(key, position) {
  return (key[position >> 3] >> (7 - (position & 7))) & 1;
}

/**
 * The first bit in which two keys differ.
 * @param {Bytes} one
 * @param {Bytes} other
 */
function firstDifference(one, other) {
  let bit = 0;
  while (bitOf(one, bit) === bitOf(other, bit)) bit += 1;
  return bit;
}
