/**
 * RFC 6962 Merkle trees: leaf and node hashes, roots, inclusion, consistency.
 *
 * A leaf hash is SHA-256(0x00 || entry), a node hash SHA-256(0x01 || left || right), the
 * root of no leaves SHA-256 of nothing. A tree of n leaves splits at the largest power of
 * two below n. A proof lists sibling hashes from the leaf upwards (RFC 6962 section 2.1).
 *
 * Sizes and indices go to 2^63-1: they are bigints here.
 */

import { encodeHex, equalBytes, joinBytes, sha256 } from "./encoding.js";
import { VerificationError } from "./errors.js";

/** @import { Bytes } from "./encoding.js" */
/** @typedef {readonly Bytes[]} Proof */

export const HASH_SIZE = 32;
const LEAF = Uint8Array.of(0x00);
const NODE = Uint8Array.of(0x01);

/**
 * Hash of a leaf's bytes (RFC 6962 section 2.1).
 * @param {Bytes} entry
 */
export function leafHash(entry) {
  return sha256(joinBytes(LEAF, entry));
}

/**
 * Hash of an inner node over its two children.
 * @param {Bytes} left
 * @param {Bytes} right
 */
export function nodeHash(left, right) {
  return sha256(joinBytes(NODE, left, right));
}

/**
 * The root over leaf hashes.
 * @param {readonly Bytes[]} leaves
 * @returns {Promise<Bytes>}
 */
export async function root(leaves) {
  if (leaves.length === 0) return sha256(new Uint8Array(0));
  // Row by row: an odd node at the end goes up alone, which splits as RFC 6962 does.
  let row = leaves;
  while (row.length > 1) {
    const pairs = [];
    for (let at = 0; at < row.length; at += 2) {
      pairs.push(at + 1 < row.length ? nodeHash(row[at], row[at + 1]) : row[at]);
    }
    row = await Promise.all(pairs);
  }
  return row[0];
}

/**
 * Check that `leaf` is leaf `index` of the tree of `size` leaves with that root.
 * @param {Bytes} leaf its hash
 * @param {bigint} index
 * @param {bigint} size
 * @param {Proof} proof
 * @param {Bytes} expected the root
 * @throws {VerificationError} no such leaf, a proof of another length, another root
 */
export async function checkInclusion(leaf, index, size, proof, expected) {
  if (index < 0n || index >= size) {
    throw new VerificationError(
      `inclusion: a tree of ${size} leaves has no leaf ${index}`,
    );
  }
  const path = pathOf(index, size - 1n);
  if (proof.length !== path.length) {
    throw new VerificationError(
      `inclusion: proof has ${proof.length} hashes, want ${path.length}`,
    );
  }
  checkHash(leaf);
  let node = leaf;
  for (const [level, sibling] of proof.entries()) {
    checkHash(sibling);
    const left = path[level] === "left";
    node = await (left ? nodeHash(sibling, node) : nodeHash(node, sibling));
  }
  if (!equalBytes(node, expected)) {
    throw new VerificationError(
      `inclusion: leaf ${index} leads to root ${encodeHex(node)}, want ${encodeHex(expected)}`,
    );
  }
}

/**
 * Check that the tree of `size` leaves extends that of `old` (RFC 6962 2.1.2).
 * @param {bigint} old
 * @param {bigint} size
 * @param {Proof} proof
 * @param {Bytes} oldRoot
 * @param {Bytes} newRoot
 * @throws {VerificationError} size 0, a shrinking tree, a proof of another length or one
 *   that leads to another root
 */
export async function checkConsistency(old, size, proof, oldRoot, newRoot) {
  if (old <= 0n || old > size) {
    throw new VerificationError(
      `consistency: cannot be proven from size ${old} to size ${size}`,
    );
  }
  if (old === size) {
    if (proof.length > 0 || !equalBytes(oldRoot, newRoot)) {
      throw new VerificationError(
        `consistency: two roots of size ${old}, or a proof where none is`,
      );
    }
    return;
  }
  const hashes = isPowerOfTwo(old) ? [oldRoot, ...proof] : proof;
  const roots = await consistencyRoots(old, size, hashes);
  if (!equalBytes(roots.old, oldRoot) || !equalBytes(roots.new, newRoot)) {
    throw new VerificationError(
      `consistency: the proof does not lead from size ${old} to size ${size}`,
    );
  }
}

/**
 * The roots of the first `old` leaves, and of all `size`, that `hashes` lead to.
 *
 * Where the second is a root that the log signed, the first is that of the log's own
 * first `old` leaves, whatever it signed for them. `hashes` are those of a consistency
 * proof, led by the old tree's root where `old` is a power of two, where a proof leaves
 * it out.
 * @param {bigint} old
 * @param {bigint} size
 * @param {Proof} hashes
 * @returns {Promise<{ old: Bytes, new: Bytes }>}
 * @throws {VerificationError} not 0 < old < size, or another number of hashes
 */
export async function consistencyRoots(old, size, hashes) {
  if (old <= 0n || old >= size) {
    throw new VerificationError(
      `consistency: nothing leads from size ${old} to size ${size}`,
    );
  }
  // The old tree's last complete subtree starts the walk.
  let [index, last] = [old - 1n, size - 1n];
  while (index & 1n) [index, last] = [index >> 1n, last >> 1n];
  const path = pathOf(index, last);
  if (hashes.length !== path.length + 1) {
    throw new VerificationError(
      `consistency: ${hashes.length} hashes, want ${path.length + 1}`,
    );
  }
  hashes.forEach(checkHash);
  const [start, ...siblings] = hashes;
  let was = start;
  let now = start;
  for (const [level, sibling] of siblings.entries()) {
    if (path[level] === "left") {
      [was, now] = await Promise.all([nodeHash(sibling, was), nodeHash(sibling, now)]);
    } else {
      now = await nodeHash(now, sibling);
    }
  }
  return { old: was, new: now };
}

/**
 * On which side the siblings stand, from node `index` to the root of a row that ends with
 * node `last`.
 * @param {bigint} index
 * @param {bigint} last
 * @returns {("left" | "right")[]}
 */
function pathOf(index, last) {
  /** @type {("left" | "right")[]} */
  const sides = [];
  while (last > 0n) {
    if (index & 1n) sides.push("left");
    // The last node of a row of odd length goes up alone.
    else if (index < last) sides.push("right");
    [index, last] = [index >> 1n, last >> 1n];
  }
  return sides;
}

/** @param {bigint} number above 0 */
function isPowerOfTwo(number) {
  return (number & (number - 1n)) === 0n;
}

/** @param {Bytes} value */
function checkHash(value) {
  if (value.length !== HASH_SIZE) {
    throw new VerificationError(
      `proof: a hash has ${value.length} bytes, want ${HASH_SIZE}`,
    );
  }
}
