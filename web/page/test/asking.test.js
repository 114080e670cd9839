/** The hashes between two checkpoints are those that lead to both roots, of any sizes. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeText } from "../../verifier/encoding.js";
import { consistencyRoots, leafHash, nodeHash, root } from "../../verifier/merkle.js";
import { prefix } from "../asking.js";

/** @import { Bytes } from "../../verifier/encoding.js" */

const MOST = 40;

/** @type {Bytes[]} */
const leaves = [];
for (let number = 0; number < MOST; number += 1) {
  leaves.push(await leafHash(encodeText(`leaf ${number}`)));
}

/**
 * A complete subtree's root, as tiles have it; no other node is asked for.
 * @param {number} level
 * @param {bigint} index
 * @returns {Promise<Bytes>}
 */
async function node(level, index) {
  if (level === 0) {
    const leaf = leaves[Number(index)];
    assert.ok(leaf !== undefined, "a leaf beyond the tree");
    return leaf;
  }
  return nodeHash(
    await node(level - 1, 2n * index),
    await node(level - 1, 2n * index + 1n),
  );
}

test("the hashes between any two sizes lead to both roots", async () => {
  const roots = [];
  for (let size = 0; size <= MOST; size += 1) {
    roots.push(await root(leaves.slice(0, size)));
  }
  for (let size = 2; size <= MOST; size += 1) {
    for (let old = 1; old < size; old += 1) {
      const hashes = await prefix(BigInt(old), BigInt(size), node);
      const found = await consistencyRoots(BigInt(old), BigInt(size), hashes);
      assert.deepEqual(found, { old: roots[old], new: roots[size] }, `${old} ${size}`);
    }
  }
});
