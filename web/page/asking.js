/**
 * Which answers of the log a run needs: a bundle, and the hashes between two checkpoints.
 *
 * As pcrlog/online.py and pcrlog/reader.py. The document stays here. What leaves the page
 * is the product, the measurement and the auditors' names, and only if the document is
 * genuine; of the tree, which tiles lie between two sizes.
 */

import { MalformedError } from "../verifier/errors.js";
import * as limits from "../verifier/limits.js";
import { PLATFORMS, spell } from "../verifier/measurement.js";
import { HASH_SIZE, nodeHash } from "../verifier/merkle.js";
import { FULL, tilePath } from "../verifier/tiles.js";
import { Recorder } from "../verifier/verification/checks.js";
import { checkDocument } from "../verifier/verification/document.js";

/** @import { Document } from "../verifier/attestation.js" */
/** @import { Bytes } from "../verifier/encoding.js" */
/** @import { Policy } from "../verifier/policy.js" */
/** @import { Asker } from "./fetching.js" */
/**
 * When, our nonce, and what the maker publishes of the machine.
 * @typedef {{ now: number, at?: number, nonce?: Bytes, collateral?: Bytes }} Asked
 */
/** @typedef {(level: number, index: bigint) => Promise<Bytes>} Node root of a subtree */

/** Tree levels in a tile. */
const HEIGHT = 8n;

/**
 * The document, if it is genuine: checked as `verify` will check it again.
 * @param {Bytes} data
 * @param {Policy} policy
 * @param {string} product
 * @param {Asked} asked
 * @returns {Promise<Document | undefined>}
 */
export async function openDocument(data, policy, product, asked) {
  return checkDocument(data, policy, policy.product(product), asked, new Recorder());
}

/**
 * Where, below its URL, a log serves what `verify` will ask for.
 * @param {Document} document
 * @param {Policy} policy
 * @param {string} product
 */
export function bundlePath({ platform, registers }, policy, product) {
  const identity = PLATFORMS.get(platform)?.identity ?? [];
  const query = [
    ["product", product],
    ...spell(identity, registers).map((m) => ["measurement", `${platform}/${m}`]),
    ...auditorsOf(policy, product).map((name) => ["auditor", name]),
  ];
  const spelled = query.map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return `api/v1/bundle?${spelled.join("&").replaceAll("%2F", "/")}`;
}

/**
 * Whose statements to ask for: auditors of the product, then those of any other, since
 * which components there are is not known before the log has answered.
 * @param {Policy} policy
 * @param {string} product
 */
function auditorsOf(policy, product) {
  const others = [...policy.products.values()].flatMap((rules) => rules.auditors);
  const all = [...policy.product(product).auditors, ...others];
  const names = new Set(all.map((one) => one.name));
  return [...names].slice(0, limits.AUDITORS_OF_PRODUCT);
}

/**
 * The hashes that lead to the roots of the first `old` and of all `size` leaves
 * (docs/protocol.md 7.4), from the log's tiles. Unverified: log.js judges where they lead.
 * @param {Asker} asker
 * @param {string} url
 * @param {bigint} old
 * @param {bigint} size
 * @returns {Promise<Bytes[]>}
 * @throws {PcrlogError} the log does not give them
 */
export async function hashesBetween(asker, url, old, size) {
  return prefix(old, size, nodes(asker, url, size));
}

/**
 * @param {bigint} old
 * @param {bigint} size
 * @param {Node} node
 * @returns {Promise<Bytes[]>}
 */
export async function prefix(old, size, node) {
  const path = [];
  let [start, end] = [0n, size];
  while (end !== old) {
    const middle = start + split(end - start);
    if (old <= middle) {
      path.unshift(await rangeRoot(middle, end, node));
      end = middle;
    } else {
      path.unshift(await rangeRoot(start, middle, node));
      start = middle;
    }
  }
  // The old tree's last complete subtree; a proof leaves it out if it is the whole tree.
  return [await rangeRoot(start, end, node), ...path];
}

/**
 * The largest power of two below `size`, for size > 1.
 * @param {bigint} size
 */
function split(size) {
  return 1n << BigInt((size - 1n).toString(2).length - 1);
}

/**
 * @param {bigint} start a multiple of its left part
 * @param {bigint} end
 * @param {Node} node
 * @returns {Promise<Bytes>}
 */
async function rangeRoot(start, end, node) {
  const size = end - start;
  if ((size & (size - 1n)) === 0n) {
    const level = size.toString(2).length - 1;
    return node(level, start >> BigInt(level));
  }
  const middle = start + split(size);
  return nodeHash(
    await rangeRoot(start, middle, node),
    await rangeRoot(middle, end, node),
  );
}

/**
 * Nodes of the tree of `size` leaves, read from its tiles.
 * @param {Asker} asker
 * @param {string} url
 * @param {bigint} size
 * @returns {Node}
 */
function nodes(asker, url, size) {
  /** @type {Map<string, Promise<Bytes>>} */
  const read = new Map();

  /**
   * @param {bigint} level
   * @param {bigint} index
   */
  async function tile(level, index) {
    const full = BigInt(FULL);
    const grown = size >> (HEIGHT * level);
    const width = Number(grown - index * full < full ? grown - index * full : full);
    const place = { level: Number(level), index, width };
    try {
      return await file(tilePath(place));
    } catch (error) {
      // A partial tile may be dropped once the full one is there.
      if (width === FULL) throw error;
      return file(tilePath({ ...place, width: FULL }));
    }
  }

  /** @param {string} path */
  function file(path) {
    const found = read.get(path) ?? asker.get(`${url}/${path}`, FULL * HASH_SIZE);
    read.set(path, found);
    return found;
  }

  return async (level, index) => {
    const rest = BigInt(level) % HEIGHT;
    const start = index << rest;
    const data = await tile(BigInt(level) / HEIGHT, start / BigInt(FULL));
    const offset = Number(start % BigInt(FULL)) * HASH_SIZE;
    const wanted = HASH_SIZE << Number(rest);
    const hashes = data.slice(offset, offset + wanted);
    if (hashes.length !== wanted) {
      throw new MalformedError(`tile of level ${level} is cut off`);
    }
    return subtree(hashes);
  };
}

/**
 * @param {Bytes} hashes 2^n of them
 * @returns {Promise<Bytes>}
 */
async function subtree(hashes) {
  if (hashes.length === HASH_SIZE) return hashes;
  const middle = hashes.length / 2;
  return nodeHash(
    await subtree(hashes.slice(0, middle)),
    await subtree(hashes.slice(middle)),
  );
}
