/**
 * Questions of the conformance vectors as values, and answers as lines.
 *
 * Sizes of trees go to 2^63-1, which a JSON number of this language cannot hold: an
 * integer of sixteen digits or more is read as a bigint, and a bigint is written as an
 * integer. Only conformance*.js needs this; formats of the protocol do not, since their
 * JSON stays below 2^53.
 */

import { decodeBase64 } from "./encoding.js";

/** @import { Bytes } from "./encoding.js" */
/** @typedef {AskValue[]} AskList */
/** @typedef {{ [name: string]: AskValue | undefined }} Ask */
/** @typedef {null | boolean | number | bigint | string | AskList | Ask} AskValue */
/** @typedef {{ [name: string]: AskValue | undefined }} Ok */
/** @typedef {{ ok: Ok } | { error: string }} Answer */
/** @typedef {(ask: Ask) => Ok | Promise<Ok>} Operation */

const STRING_OR_LARGE = /"(?:[^"\\]|\\.)*"|[0-9]{16,}/g;
/** Marks a string that stands for a large integer; no string of the vectors has it. */
const LARGE = "\u0000";

/**
 * The question of a line.
 * @param {string} line
 * @returns {Ask}
 */
export function readAsk(line) {
  const marked = line.replace(STRING_OR_LARGE, (found) =>
    found.startsWith('"') ? found : JSON.stringify(LARGE + found),
  );
  return JSON.parse(marked, (_name, value) =>
    typeof value === "string" && value.startsWith(LARGE)
      ? BigInt(value.slice(1))
      : value,
  );
}

/**
 * The line of an answer.
 * @param {Answer} answer
 */
export function writeAnswer(answer) {
  const marked = JSON.stringify(answer, (_name, value) =>
    typeof value === "bigint" ? `${LARGE}${value}` : value,
  );
  return marked.replace(/"\\u0000([0-9]+)"/g, "$1");
}

/**
 * A member that is a string.
 * @param {Ask} ask
 * @param {string} name
 */
export function text(ask, name) {
  const value = ask[name];
  if (typeof value !== "string")
    throw new TypeError(`the question has no text ${name}`);
  return value;
}

/**
 * A member that is an integer, of any size.
 * @param {Ask} ask
 * @param {string} name
 */
export function integer(ask, name) {
  const value = ask[name];
  if (typeof value === "bigint") return value;
  if (typeof value !== "number")
    throw new TypeError(`the question has no number ${name}`);
  return BigInt(value);
}

/**
 * A member that is bytes, in base64.
 * @param {Ask} ask
 * @param {string} name
 * @returns {Bytes}
 */
export function bytes(ask, name) {
  return decodeBase64(text(ask, name));
}

/**
 * A member that is a list; none, where it is absent.
 * @param {Ask} ask
 * @param {string} name
 */
export function list(ask, name) {
  const value = ask[name] ?? [];
  if (!Array.isArray(value)) throw new TypeError(`the question has no list ${name}`);
  return value;
}

/**
 * A member that is a list of byte strings.
 * @param {Ask} ask
 * @param {string} name
 * @returns {Bytes[]}
 */
export function byteStrings(ask, name) {
  return list(ask, name).map((item) => decodeBase64(String(item)));
}

/**
 * A member that is an object; one without members, where it is absent.
 * @param {Ask} ask
 * @param {string} name
 * @returns {Ask}
 */
export function object(ask, name) {
  const value = ask[name] ?? {};
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new TypeError(`the question has no object ${name}`);
  }
  return value;
}
