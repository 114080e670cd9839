/** The trie: proofs made here, by the definition of the trie, hold where they should. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { joinBytes, sha256 } from "../encoding.js";
import { MalformedError, VerificationError } from "../errors.js";
import { checkAbsence, checkPresence, encodeProof, rootOf, valueOf } from "../trie.js";

/** @import { Bytes } from "../encoding.js" */
/** @import { Leaf, Step } from "../trie.js" */

/**
 * Keys with long common starts: all but the last byte and the first bit are alike.
 * @param {number} number
 */
async function leaf(number) {
  const key = new Uint8Array(32);
  key[0] = number & 1 ? 0x80 : 0;
  key[31] = number;
  return { key, value: await valueOf([number]) };
}

/**
 * @param {Bytes} key
 * @param {number} bit
 */
const bitOf = (key, bit) => (key[bit >> 3] >> (7 - (bit & 7))) & 1;

/**
 * The path from the leaf that `key` leads to, and that leaf.
 * @param {readonly Leaf[]} leaves
 * @param {Bytes} key
 * @returns {Promise<{ found: Leaf, steps: Step[] }>}
 */
async function prove(leaves, key) {
  for (let bit = 0; bit < 256; bit += 1) {
    const sides = [0, 1].map((side) =>
      leaves.filter((one) => bitOf(one.key, bit) === side),
    );
    if (sides.every((side) => side.length > 0)) {
      const here = bitOf(key, bit);
      const below = await prove(sides[here], key);
      const sibling = await rootOf(sides[1 - here]);
      return { found: below.found, steps: [...below.steps, { bit, sibling }] };
    }
  }
  return { found: leaves[0], steps: [] };
}

test("a key that is there is present, and not absent", async () => {
  const leaves = await Promise.all([3, 8, 9, 12, 200, 255].map(leaf));
  const root = await rootOf(leaves);
  for (const { key, value } of leaves) {
    const { steps } = await prove(leaves, key);
    const proof = encodeProof(steps);
    await checkPresence(root, key, value, proof);
    await assert.rejects(checkPresence(root, key, key, proof), VerificationError);
    const shown = encodeProof(steps, { key, value });
    await assert.rejects(checkAbsence(root, key, shown), /the key itself/);
  }
});

test("a key that is not there is absent, whichever it is", async () => {
  const leaves = await Promise.all([3, 8, 9, 12, 200, 255].map(leaf));
  const root = await rootOf(leaves);
  for (const number of [0, 1, 2, 10, 13, 201, 254]) {
    const { key } = await leaf(number);
    const { found, steps } = await prove(leaves, key);
    await checkAbsence(root, key, encodeProof(steps, found));
  }
});

test("a path that the key would not share excludes nothing", async () => {
  const leaves = await Promise.all([3, 8, 9, 12].map(leaf));
  const root = await rootOf(leaves);
  const { key } = await leaf(13);
  const { found, steps } = await prove(leaves, leaves[1].key);
  await assert.rejects(
    checkAbsence(root, key, encodeProof(steps, found)),
    /branches at bit \d+, where the keys differ/,
  );
});

test("an empty proof of absence holds for the empty trie alone", async () => {
  const nothing = new Uint8Array(0);
  const one = await leaf(1);
  await checkAbsence(await sha256(nothing), one.key, nothing);
  await assert.rejects(
    checkAbsence(await rootOf([one]), one.key, nothing),
    VerificationError,
  );
});

test("a proof that is cut anywhere is refused", async () => {
  const leaves = await Promise.all([3, 8, 9, 12].map(leaf));
  const root = await rootOf(leaves);
  const { key, value } = leaves[2];
  const proof = encodeProof((await prove(leaves, key)).steps);
  for (let size = 0; size < proof.length; size += 1) {
    const cut = proof.slice(0, size);
    const refused = [MalformedError, VerificationError];
    await assert.rejects(checkPresence(root, key, value, cut), (error) =>
      refused.some((kind) => error instanceof kind),
    );
  }
  const twice = joinBytes(proof, proof);
  await assert.rejects(checkPresence(root, key, value, twice), MalformedError);
});
