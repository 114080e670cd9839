/**
 * The one home of base64, hex, decimals, times and canonical JSON.
 *
 * Each value has exactly one spelling. The platform's own decoders are generous (`atob`
 * skips spaces, `JSON.parse` takes a member twice, `Date` takes 30 February), so each
 * decoder here decodes, encodes again and compares: what is not canonical is refused
 * (docs/protocol.md 2.1).
 */

import * as limits from "./limits.js";
import { MalformedError } from "./errors.js";

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */
/**
 * An object as read here has no prototype: whatever its members are named, even
 * `__proto__`, they are members and nothing else.
 * @typedef {{ [name: string]: JsonValue | undefined }} JsonObject
 */
/** @typedef {JsonValue[]} JsonList */
/** @typedef {null | boolean | number | string | JsonList | JsonObject} JsonValue */

/** 9999-12-31T23:59:59Z, the last second that has a spelling. */
export const LATEST = 253_402_300_799;

const DECIMAL = /^(?:0|[1-9][0-9]{0,18})$/;
const HEX = /^(?:[0-9a-f]{2})*$/;
const TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$/;
const NOT_PRINTABLE = /[^\x20-\x7e]/;
// Without the u flag a character class sees surrogates one by one; with it, alone only.
const LONE_SURROGATE = /\p{Surrogate}/u;
// Strings and numbers of a text that is JSON.
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/g;
const INTEGER = /^-?[0-9]+$/;
const SMALL = /^(?:0|[1-9][0-9]{0,15})$/;
/** Digits of the largest integer that is JSON where any spelling is read. */
const DIGITS = 4_300;
/** How deep JSON may nest; recursion is bounded by it. */
const DEPTH = 2 * limits.BRACKETS;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// --- bytes -------------------------------------------------------------------------

/**
 * The 32 bytes of SHA-256 over `data`.
 * @param {Bytes} data
 * @returns {Promise<Bytes>}
 */
export async function sha256(data) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
}

/**
 * `parts` one after the other.
 * @param {...Bytes} parts
 * @returns {Bytes}
 */
export function joinBytes(...parts) {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/**
 * The same bytes in memory of our own: who handed them in could change them between two
 * of our checks. `slice` would not do: of Node's Buffer it gives the same memory.
 * @param {Uint8Array} data
 * @returns {Bytes}
 */
export function copyBytes(data) {
  return new Uint8Array(data);
}

/**
 * Whether two byte strings are the same. Nothing here is secret: no constant time.
 * @param {Uint8Array} one
 * @param {Uint8Array} other
 */
export function equalBytes(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/**
 * An unsigned big-endian integer of any length; 0 of no bytes.
 * @param {Uint8Array} data
 */
export function readInteger(data) {
  return data.reduce((number, byte) => (number << 8n) | BigInt(byte), 0n);
}

/**
 * Eight bytes, big-endian.
 * @param {bigint} number 0 to 2^64-1
 * @returns {Bytes}
 */
export function encodeU64(number) {
  const data = new Uint8Array(8);
  new DataView(data.buffer).setBigUint64(0, number);
  return data;
}

// --- text --------------------------------------------------------------------------

/**
 * UTF-8 of `text`, which has no lone surrogate (`decodeText` and JSON here never give
 * one).
 * @param {string} text
 * @returns {Bytes}
 */
export function encodeText(text) {
  return encoder.encode(text);
}

/**
 * The text that UTF-8 spells; a byte order mark is a character of it.
 * @param {Uint8Array} data
 * @throws {MalformedError} not UTF-8
 */
export function decodeText(data) {
  try {
    return decoder.decode(data);
  } catch {
    throw new MalformedError("expected UTF-8, found other bytes");
  }
}

/**
 * Each byte as the character of that number (ISO 8859-1): for formats of lines in ASCII,
 * whose other characters the rules of the line then refuse.
 * @param {Uint8Array} data
 */
export function decodeLatin1(data) {
  let text = "";
  for (const byte of data) text += String.fromCharCode(byte);
  return text;
}

/**
 * Standard alphabet, padded (RFC 4648 section 4).
 * @param {Uint8Array} data
 */
export function encodeBase64(data) {
  return btoa(decodeLatin1(data));
}

/**
 * The bytes of canonical, padded, standard base64.
 * @param {string} text
 * @returns {Bytes}
 * @throws {MalformedError} anything that `encodeBase64` would not have written
 */
export function decodeBase64(text) {
  let characters;
  try {
    characters = atob(text);
  } catch {
    throw new MalformedError(`expected standard base64, found ${shown(text)}`);
  }
  if (btoa(characters) !== text) {
    throw new MalformedError(`base64 is not canonical: ${shown(text)}`);
  }
  return Uint8Array.from(characters, (character) => character.charCodeAt(0));
}

/**
 * Lower-case hex.
 * @param {Uint8Array} data
 */
export function encodeHex(data) {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The bytes of lower-case hex.
 * @param {string} text
 * @param {number} [size] in bytes; any, if it is absent
 * @returns {Bytes}
 * @throws {MalformedError} other characters, upper case, or another length
 */
export function decodeHex(text, size) {
  if (!HEX.test(text)) {
    throw new MalformedError(`expected lower-case hex, found ${shown(text)}`);
  }
  if (size !== undefined && text.length !== 2 * size) {
    throw new MalformedError(`expected ${2 * size} hex digits, found ${text.length}`);
  }
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

// --- numbers and times -------------------------------------------------------------

/**
 * An integer 0 to `largest` in ASCII decimal without leading zeros.
 * @param {string} text
 * @param {bigint} [largest]
 * @throws {MalformedError} any other spelling, or a larger number
 */
export function parseDecimal(text, largest = limits.TREE_SIZE) {
  const number = DECIMAL.test(text) ? BigInt(text) : -1n;
  if (number < 0n || number > largest) {
    throw new MalformedError(`expected a decimal 0..${largest}, found ${shown(text)}`);
  }
  return number;
}

/**
 * Unix seconds of `YYYY-MM-DDTHH:MM:SSZ`.
 * @param {string} text
 * @throws {MalformedError} another format, or a date that does not exist
 */
export function parseTime(text) {
  if (TIME.test(text)) {
    const seconds = Date.parse(text) / 1000;
    // Date.parse may take 30 February and hour 24; formatting again shows it.
    if (seconds >= 0 && formatTime(seconds) === text) return seconds;
  }
  throw new MalformedError(
    `expected a time YYYY-MM-DDTHH:MM:SSZ, found ${shown(text)}`,
  );
}

/**
 * `YYYY-MM-DDTHH:MM:SSZ` of unix seconds, 0 to `LATEST`.
 * @param {number} seconds
 */
export function formatTime(seconds) {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}

// --- JSON --------------------------------------------------------------------------

/**
 * The text of canonical JSON (RFC 8785).
 *
 * `JSON.stringify` of a string or number is what RFC 8785 prescribes, and so is the
 * order of `sort`, by UTF-16 code units.
 * @param {JsonValue} value without lone surrogates; a member that is undefined is absent
 * @returns {string}
 */
export function jsonText(value) {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(jsonText).join(",")}]`;
  const members = [];
  for (const name of Object.keys(value).sort()) {
    const member = value[name];
    if (member !== undefined)
      members.push(`${JSON.stringify(name)}:${jsonText(member)}`);
  }
  return `{${members.join(",")}}`;
}

/**
 * Canonical JSON (RFC 8785).
 * @param {JsonValue} value
 * @returns {Bytes}
 */
export function encodeJson(value) {
  return encodeText(jsonText(value));
}

/**
 * The value of canonical JSON; its objects have no prototype.
 *
 * Numbers are integers 0 to 2^53-1, as everywhere in the protocol. Whoever calls this
 * still has to look at the shape (shapes.js).
 * @param {Uint8Array} data
 * @param {{ asciiOnly?: boolean }} [options] whether strings hold printable ASCII only,
 *   as in statements: the default
 * @returns {JsonValue}
 * @throws {MalformedError} not JSON, or another spelling of it
 */
export function decodeJson(data, { asciiOnly = true } = {}) {
  const text = decodeText(data);
  const value = readJson(text, isSmall);
  if (jsonText(value) !== text) {
    throw new MalformedError(
      "JSON is not canonical (RFC 8785): sort the members, each once, leave out spaces",
    );
  }
  // In canonical JSON control characters are escaped; of escapes, ASCII needs but two.
  const strange =
    NOT_PRINTABLE.test(text) || text.replace(/\\["\\]/g, "").includes("\\");
  if (asciiOnly && strange) {
    throw new MalformedError("a string holds characters other than printable ASCII");
  }
  return value;
}

/**
 * The value of JSON in any spelling; of a member that stands twice, the last counts.
 *
 * What has a lone surrogate, a number that a double would hold as infinite, an integer of
 * more than 4,300 digits, or more nesting than is ever needed is not JSON here
 * (docs/protocol.md section 3). An integer beyond 2^53 is read inexactly.
 * @param {string} text
 * @returns {JsonValue}
 * @throws {MalformedError} not JSON
 */
export function parseJson(text) {
  return readJson(text, isBounded);
}

/**
 * @param {string} text
 * @param {(number: string) => boolean} isNumber which spellings are numbers here
 */
function readJson(text, isNumber) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    // The engine's own words differ from browser to browser, and quote the input.
    throw new MalformedError(`expected JSON, found ${shown(text)}`);
  }
  for (const [token] of text.matchAll(TOKEN)) {
    if (!token.startsWith('"') && !isNumber(token)) {
      throw new MalformedError(`JSON: the number ${shown(token)} is none that is read`);
    }
  }
  return sound(value, DEPTH);
}

/** @param {string} number */
function isSmall(number) {
  return SMALL.test(number) && Number(number) <= limits.INTEGER;
}

/** @param {string} number */
function isBounded(number) {
  const integer = INTEGER.test(number);
  if (integer) return number.replace("-", "").length <= DIGITS;
  return Number.isFinite(Number(number));
}

/**
 * The same value, checked, with objects that have no prototype.
 * @param {JsonValue} value
 * @param {number} depth
 * @returns {JsonValue}
 */
function sound(value, depth) {
  if (typeof value === "string") return soundText(value);
  if (value === null || typeof value !== "object") return value;
  if (depth === 0) {
    throw new MalformedError(`JSON nests deeper than ${DEPTH}`);
  }
  if (Array.isArray(value)) return value.map((item) => sound(item, depth - 1));
  /** @type {JsonObject} */
  const object = Object.create(null);
  for (const [name, member] of Object.entries(value)) {
    if (member !== undefined) object[soundText(name)] = sound(member, depth - 1);
  }
  return object;
}

/** @param {string} text */
function soundText(text) {
  if (LONE_SURROGATE.test(text)) {
    throw new MalformedError("JSON: a string holds half a surrogate pair");
  }
  return text;
}

// --- words -------------------------------------------------------------------------

/**
 * Words that quote what came from outside: short, and harmless on a terminal.
 * @param {string} text
 * @param {number} [most]
 */
export function printable(text, most = 300) {
  return text.slice(0, most).replace(/[^\x20-\x7e\u00a1-\u024f]/g, "?");
}

/**
 * `text` as an error message may carry it: quoted, escaped, and short.
 * @param {string} text
 * @param {number} [most]
 */
export function shown(text, most = 80) {
  const quoted = JSON.stringify(text.slice(0, most)).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return text.length <= most ? quoted : `${quoted}...`;
}
