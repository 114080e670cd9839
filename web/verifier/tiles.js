/**
 * C2SP tlog-tiles: the files in which a log serves its tree and its entries.
 *
 * An entry bundle holds the entries under one level-0 tile, each as a big-endian u16
 * length and its bytes. Paths: `tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]`,
 * where N is written in groups of three digits, all but the last led by an x
 * (docs/protocol.md 7.5).
 */

import { shown } from "./encoding.js";
import { MalformedError } from "./errors.js";

/** @import { Bytes } from "./encoding.js" */
/**
 * Which tile: its level, or `entries` for the entry bundle; its place; its width, 1..256.
 * @typedef {{ readonly level: number | "entries", readonly index: bigint,
 *   readonly width: number }} Tile
 */

export const FULL = 256;
/** A tree of 2^63 leaves has tiles at levels 0..7. */
const MOST_LEVEL = 7;
const PATH =
  /^tile\/(entries|[0-9]{1,2})\/((?:x[0-9]{3}\/){0,6}[0-9]{3})(?:\.p\/([0-9]{1,3}))?$/;

/**
 * The path below the log's URL.
 * @param {Tile} tile
 */
export function tilePath({ level, index, width }) {
  const groups = [String(index % 1000n).padStart(3, "0")];
  for (let rest = index / 1000n; rest > 0n; rest /= 1000n) {
    groups.unshift(`x${String(rest % 1000n).padStart(3, "0")}`);
  }
  return `tile/${level}/${groups.join("/")}${width === FULL ? "" : `.p/${width}`}`;
}

/**
 * The tile that `path` names.
 * @param {string} path
 * @returns {Tile}
 * @throws {MalformedError} no tile's path, or not the one spelling of it
 */
export function parsePath(path) {
  const match = PATH.exec(path);
  if (match !== null) {
    const [, level, index, width] = match;
    /** @type {Tile} */
    const tile = {
      level: level === "entries" ? level : Number(level),
      index: BigInt(index.replace(/[x/]/g, "")),
      width: width === undefined ? FULL : Number(width),
    };
    const partial = width === undefined || (tile.width > 0 && tile.width < FULL);
    const known = tile.level === "entries" || tile.level <= MOST_LEVEL;
    if (partial && known && tilePath(tile) === path) return tile;
  }
  throw new MalformedError(`expected tile/<L>/<N>[.p/<W>], found ${shown(path)}`);
}

/**
 * The entries of an entry bundle of exactly `width` entries.
 * @param {Bytes} data
 * @param {number} width
 * @returns {Bytes[]}
 * @throws {MalformedError} too few entries, or bytes left over
 */
export function parseEntryBundle(data, width) {
  const entries = [];
  let at = 0;
  for (let number = 0; number < width; number += 1) {
    const start = at + 2;
    at = start <= data.length ? start + data[at] * 256 + data[at + 1] : Infinity;
    if (at > data.length) {
      throw new MalformedError(`entry bundle ends in entry ${number} of ${width}`);
    }
    entries.push(data.slice(start, at));
  }
  if (at !== data.length) {
    throw new MalformedError(
      `entry bundle has ${data.length - at} bytes after ${width} entries`,
    );
  }
  return entries;
}
