/** Trees and proofs against RFC 6962 as it is written, for all small sizes. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeText } from "../encoding.js";
import { VerificationError } from "../errors.js";
import * as merkle from "../merkle.js";

/** @import { Bytes } from "../encoding.js" */

const MOST = 18;
const LEAVES = await Promise.all(
  Array.from({ length: MOST }, (_, at) => merkle.leafHash(encodeText(`leaf ${at}`))),
);

/**
 * The largest power of two below a number.
 * @param {number} size
 */
function split(size) {
  let power = 1;
  while (power * 2 < size) power *= 2;
  return power;
}

/**
 * RFC 6962 section 2.1.
 * @param {readonly Bytes[]} leaves
 * @returns {Promise<Bytes>}
 */
async function rootOf(leaves) {
  if (leaves.length === 1) return leaves[0];
  const at = split(leaves.length);
  return merkle.nodeHash(
    await rootOf(leaves.slice(0, at)),
    await rootOf(leaves.slice(at)),
  );
}

/**
 * RFC 6962 section 2.1.1.
 * @param {number} index
 * @param {readonly Bytes[]} leaves
 * @returns {Promise<Bytes[]>}
 */
async function pathOf(index, leaves) {
  if (leaves.length === 1) return [];
  const at = split(leaves.length);
  return index < at
    ? [...(await pathOf(index, leaves.slice(0, at))), await rootOf(leaves.slice(at))]
    : [
        ...(await pathOf(index - at, leaves.slice(at))),
        await rootOf(leaves.slice(0, at)),
      ];
}

/**
 * RFC 6962 section 2.1.2.
 * @param {number} old
 * @param {readonly Bytes[]} leaves
 * @param {boolean} whole
 * @returns {Promise<Bytes[]>}
 */
async function consistencyOf(old, leaves, whole = true) {
  if (old === leaves.length) return whole ? [] : [await rootOf(leaves)];
  const at = split(leaves.length);
  return old <= at
    ? [
        ...(await consistencyOf(old, leaves.slice(0, at), whole)),
        await rootOf(leaves.slice(at)),
      ]
    : [
        ...(await consistencyOf(old - at, leaves.slice(at), false)),
        await rootOf(leaves.slice(0, at)),
      ];
}

test("roots are those of RFC 6962", async () => {
  for (let size = 1; size <= MOST; size += 1) {
    const leaves = LEAVES.slice(0, size);
    assert.deepEqual(await merkle.root(leaves), await rootOf(leaves));
  }
});

test("each leaf is in each tree at its own place alone", async () => {
  for (let size = 1; size <= MOST; size += 1) {
    const leaves = LEAVES.slice(0, size);
    const root = await rootOf(leaves);
    for (let index = 0; index < size; index += 1) {
      const proof = await pathOf(index, leaves);
      const check = (/** @type {number} */ at, /** @type {Bytes[]} */ path) =>
        merkle.checkInclusion(LEAVES[index], BigInt(at), BigInt(size), path, root);
      await check(index, proof);
      await assert.rejects(check(index, [...proof, root]), VerificationError);
      await assert.rejects(check(size, proof), VerificationError);
      if (index > 0) await assert.rejects(check(index - 1, proof), VerificationError);
      if (proof.length > 0) {
        await assert.rejects(check(index, proof.slice(1)), VerificationError);
      }
    }
  }
});

test("each tree extends each smaller one, and none a larger one", async () => {
  for (let size = 1; size <= MOST; size += 1) {
    const leaves = LEAVES.slice(0, size);
    const root = await rootOf(leaves);
    for (let old = 1; old <= size; old += 1) {
      const was = await rootOf(leaves.slice(0, old));
      const proof = await consistencyOf(old, leaves);
      const [from, to] = [BigInt(old), BigInt(size)];
      await merkle.checkConsistency(from, to, proof, was, root);
      const wrong = [
        () => merkle.checkConsistency(from, to, [...proof, root], was, root),
        () => merkle.checkConsistency(to + 1n, to, proof, was, root),
        () => merkle.checkConsistency(0n, to, proof, was, root),
        () => merkle.checkConsistency(from, to, proof, LEAVES[MOST - 1], root),
      ];
      // One leaf is its own root.
      for (const check of size === MOST && old === size ? wrong.slice(0, 3) : wrong) {
        await assert.rejects(check(), VerificationError);
      }
      if (old < size) {
        const lead = (old & (old - 1)) === 0 ? [was] : [];
        const roots = await merkle.consistencyRoots(from, to, [...lead, ...proof]);
        assert.deepEqual(roots, { old: was, new: root });
      }
    }
  }
});

test("the largest tree has proofs of 63 hashes", async () => {
  const size = 2n ** 63n - 1n;
  const proof = Array.from({ length: 63 }, () => new Uint8Array(32));
  const root = new Uint8Array(32);
  await assert.rejects(
    merkle.checkInclusion(LEAVES[0], 0n, size, proof, root),
    /leads to root/,
  );
  await assert.rejects(
    merkle.checkInclusion(LEAVES[0], 0n, size, proof.slice(1), root),
    /proof has 62 hashes, want 63/,
  );
});
