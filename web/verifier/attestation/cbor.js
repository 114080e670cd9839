/**
 * CBOR (RFC 8949) as attestation documents use it, and nothing beyond.
 *
 *     00..1b   unsigned integer        20..3b   negative integer
 *     40..5b   byte string             60..7b   text string, UTF-8
 *     80..9b   array, or 9f .. ff      a0..bb   map, or bf .. ff
 *     f4       false                   f5       true                  f6   null
 *
 * Arrays and maps of indefinite length (.. ff) are read, because AWS writes the payload
 * as one. Every other choice that CBOR leaves to the writer is refused, so that no two
 * readers see two documents in the same bytes: heads longer than they need be, repeated
 * keys, strings of indefinite length, tags (hence bignums), floats, undefined, keys
 * other than integers and text, bytes after the item (docs/protocol.md 8.2).
 *
 * An integer becomes a bigint whatever its size, an array an array, a map a Map. Equal
 * bigints are the same key of a Map.
 */

import { decodeText, encodeText, joinBytes, readInteger, shown } from "../encoding.js";
import { MalformedError } from "../errors.js";

/** @import { Bytes } from "../encoding.js" */
/** @typedef {bigint | string} Key */
/** @typedef {Value[]} ValueList */
/** @typedef {Map<Key, Value>} ValueMap */
/** @typedef {bigint | Bytes | string | boolean | null | ValueList | ValueMap} Value */

/** Arrays and maps within one another; documents need two. */
export const DEPTH = 8;

const UNSIGNED = 0;
const NEGATIVE = 1;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
/** Arguments below it stand in the head's first byte; else it says how many follow. */
const DIRECT = 24;
/** Low bits of the first byte, to the smallest argument that needs 1, 2, 4 or 8 more. */
const SMALLEST = new Map([
  [24, 24n],
  [25, 1n << 8n],
  [26, 1n << 16n],
  [27, 1n << 32n],
]);
const INDEFINITE = [0x9f, 0xbf];
const BREAK = 0xff;
const SIMPLE = new Map([
  [0xf4, false],
  [0xf5, true],
  [0xf6, null],
]);

/**
 * The one item that `data` consists of, from `start` on.
 * @param {Bytes} data
 * @param {number} [start]
 * @returns {Value}
 * @throws {MalformedError} anything that is not in the table above, or bytes left over
 */
export function decode(data, start = 0) {
  const reader = new Reader(data, start);
  const value = reader.item(DEPTH);
  if (reader.at !== data.length) {
    throw malformed(reader.at, "the end", `${data.length - reader.at} bytes more`);
  }
  return value;
}

/**
 * A byte string or a text, with the shortest head.
 * @param {Bytes | string} content
 * @returns {Bytes}
 */
export function encodeString(content) {
  const text = typeof content === "string";
  const data = text ? encodeText(content) : content;
  return joinBytes(encodeHead(text ? TEXT : BYTES, data.length), data);
}

/**
 * The head of an array of definite length.
 * @param {number} count
 */
export function encodeArrayHead(count) {
  return encodeHead(ARRAY, count);
}

/**
 * @param {number} major
 * @param {number} argument below 2^32
 * @returns {Bytes}
 */
function encodeHead(major, argument) {
  const first = major << 5;
  if (argument < DIRECT) return Uint8Array.of(first | argument);
  const low = argument < 1 << 8 ? 24 : argument < 1 << 16 ? 25 : 26;
  const head = new Uint8Array(1 + width(low));
  for (let at = head.length - 1, rest = argument; at > 0; at--, rest >>>= 8) {
    head[at] = rest;
  }
  head[0] = first | low;
  return head;
}

/**
 * How many bytes of argument the low bits of a head's first byte announce.
 * @param {number} low 24 to 27
 */
function width(low) {
  return 1 << (low - DIRECT);
}

/** Where we are in the bytes, and what stands there. */
class Reader {
  #data;

  /**
   * @param {Bytes} data
   * @param {number} at
   */
  constructor(data, at) {
    this.#data = data;
    this.at = at;
  }

  /**
   * The item that stands here.
   * @param {number} depth how many arrays or maps may still open
   * @returns {Value}
   */
  item(depth) {
    const start = this.at;
    const simple = SIMPLE.get(this.#peek() ?? -1);
    if (simple !== undefined) {
      this.at += 1;
      return simple;
    }
    const { major, argument } = this.#head();
    if (argument !== null) {
      if (major === UNSIGNED) return argument;
      if (major === NEGATIVE) return -1n - argument;
      if (major === BYTES) return this.#take(argument, start);
      if (major === TEXT) return text(this.#take(argument, start), start);
    }
    if (depth === 0) {
      throw malformed(start, `arrays or maps at most ${DEPTH} deep`, "a deeper one");
    }
    if (major === ARRAY) return this.#items(argument, depth - 1);
    const count = argument === null ? null : 2n * argument;
    return map(start, this.#items(count, depth - 1));
  }

  #peek() {
    return this.#data[this.at];
  }

  /**
   * Major type and argument of the head that stands here; null is the argument of an
   * array or map of indefinite length.
   * @returns {{ major: number, argument: bigint | null }}
   */
  #head() {
    const start = this.at;
    const first = this.#peek();
    if (first === undefined) throw malformed(start, "an item", "the end");
    const major = first >> 5;
    const low = first & 31;
    this.at += 1;
    if (low < DIRECT && major <= MAP) return { major, argument: BigInt(low) };
    if (INDEFINITE.includes(first)) return { major, argument: null };
    const smallest = SMALLEST.get(low);
    if (smallest === undefined || major > MAP) {
      const found = `0x${first.toString(16)} (a tag, float, break or the like)`;
      const expected = "integer, string, array, map, true, false or null";
      throw malformed(start, expected, found);
    }
    const argument = readInteger(this.#take(BigInt(width(low)), start));
    if (argument < smallest) {
      throw malformed(start, `${argument} in its shortest form`, "a longer one");
    }
    return { major, argument };
  }

  /**
   * The next bytes, so many. The size is a bigint until it is known to be a small one.
   * @param {bigint} size
   * @param {number} start of the item, for the message
   */
  #take(size, start) {
    const left = this.#data.length - this.at;
    if (size > BigInt(left)) throw malformed(start, `${size} bytes`, `${left} bytes`);
    this.at += Number(size);
    return this.#data.subarray(this.at - Number(size), this.at);
  }

  /**
   * @param {bigint | null} count
   * @param {number} depth
   * @returns {Value[]}
   */
  #items(count, depth) {
    // Every item takes a byte: a count beyond that is refused before it costs a loop.
    const left = this.#data.length - this.at;
    if (count !== null && count > BigInt(left)) {
      throw malformed(this.at, `${count} items`, `${left} bytes`);
    }
    /** @type {Value[]} */
    const items = [];
    while (count === null || BigInt(items.length) < count) {
      if (count === null && this.#peek() === BREAK) {
        this.at += 1;
        break;
      }
      items.push(this.item(depth));
    }
    return items;
  }
}

/**
 * @param {Bytes} content
 * @param {number} at
 */
function text(content, at) {
  try {
    return decodeText(content);
  } catch {
    throw malformed(at, "text in UTF-8", "other bytes");
  }
}

/**
 * @param {number} at
 * @param {Value[]} items keys and values in turn
 * @returns {ValueMap}
 */
function map(at, items) {
  if (items.length % 2 !== 0) {
    throw malformed(at, "a map of keys and values", "a key without a value");
  }
  /** @type {ValueMap} */
  const result = new Map();
  for (let place = 0; place < items.length; place += 2) {
    const key = items[place];
    if (typeof key !== "bigint" && typeof key !== "string") {
      throw malformed(at, "a map whose keys are integers or text", "another key");
    }
    if (result.has(key)) {
      throw malformed(at, "a map with each key once", `${shown(String(key))} again`);
    }
    result.set(key, /** @type {Value} */ (items[place + 1]));
  }
  return result;
}

/**
 * @param {number} at
 * @param {string} expected
 * @param {string} found
 */
function malformed(at, expected, found) {
  return new MalformedError(`CBOR at byte ${at}: expected ${expected}, found ${found}`);
}
