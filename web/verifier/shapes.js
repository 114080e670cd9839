/**
 * Shapes: what JSON has to look like, as functions that check and return.
 *
 * A shape takes a JSON value and the words for where it stands, and returns what it is
 * read as, or throws. Records have exactly the members they name, but for those that
 * others define: an optional one is absent, never null, and an unknown one is refused
 * (docs/protocol.md 2.1). A type
 * follows from its shape, so that the two cannot differ.
 */

import { decodeBase64, shown } from "./encoding.js";
import { MalformedError } from "./errors.js";

/** @import { Bytes, JsonValue, JsonObject } from "./encoding.js" */
/**
 * @template T
 * @typedef {(value: JsonValue | undefined, where: string) => T} Shape
 */
/** @typedef {{ readonly [name: string]: Shape<unknown> }} Shapes */

/**
 * A string that `pattern` matches from end to end.
 * @param {RegExp} pattern anchored with ^ and $, without flags
 * @param {number} [most] characters
 * @returns {Shape<string>}
 */
export function text(pattern, most = Infinity) {
  return (value, where) => {
    if (typeof value !== "string" || value.length > most || !pattern.test(value)) {
      throw new MalformedError(
        `${where}: found ${found(value)}, want ${pattern.source}`,
      );
    }
    return value;
  };
}

/**
 * One of some words.
 * @template {string} W
 * @param {...W} words
 * @returns {Shape<W>}
 */
export function oneOf(...words) {
  return (value, where) => {
    const word = words.find((one) => one === value);
    if (word === undefined) {
      throw new MalformedError(
        `${where}: found ${found(value)}, want ${words.join(", ")}`,
      );
    }
    return word;
  };
}

/**
 * An integer 0 to `most`.
 * @param {number} [most]
 * @returns {Shape<number>}
 */
export function integer(most = Number.MAX_SAFE_INTEGER) {
  return (value, where) => {
    if (
      typeof value !== "number" ||
      !Number.isInteger(value) ||
      value < 0 ||
      value > most
    ) {
      throw new MalformedError(
        `${where}: found ${found(value)}, want an integer 0..${most}`,
      );
    }
    return value;
  };
}

/**
 * Bytes in base64.
 * @param {{ least?: number, most?: number }} [sizes]
 * @returns {Shape<Bytes>}
 */
export function base64({ least = 0, most = Infinity } = {}) {
  return (value, where) => {
    if (typeof value !== "string") {
      throw new MalformedError(`${where}: found ${found(value)}, want base64`);
    }
    const data = decodeBase64(value);
    if (data.length < least || data.length > most) {
      throw new MalformedError(
        `${where}: ${data.length} bytes, want ${least}..${most}`,
      );
    }
    return data;
  };
}

/**
 * A list of items of one shape.
 * @template T
 * @param {Shape<T>} item
 * @param {{ least?: number, most?: number }} [sizes]
 * @returns {Shape<readonly T[]>}
 */
export function list(item, { least = 0, most = Infinity } = {}) {
  return (value, where) => {
    if (!Array.isArray(value)) {
      throw new MalformedError(`${where}: found ${found(value)}, want a list`);
    }
    if (value.length < least || value.length > most) {
      throw new MalformedError(
        `${where}: ${value.length} items, want ${least}..${most}`,
      );
    }
    return value.map((one, at) => item(one, `${where}[${at}]`));
  };
}

/**
 * A list of exactly two items.
 * @template A, B
 * @param {Shape<A>} first
 * @param {Shape<B>} second
 * @returns {Shape<readonly [A, B]>}
 */
export function pair(first, second) {
  return (value, where) => {
    if (!Array.isArray(value) || value.length !== 2) {
      throw new MalformedError(`${where}: found ${found(value)}, want a list of two`);
    }
    return [first(value[0], `${where}[0]`), second(value[1], `${where}[1]`)];
  };
}

/**
 * An object whose members are named as one likes, all of one shape.
 * @template T
 * @param {Shape<string>} name
 * @param {Shape<T>} member
 * @returns {Shape<ReadonlyMap<string, T>>}
 */
export function dictionary(name, member) {
  return (value, where) => {
    const members = Object.entries(object(value, where));
    return new Map(
      members.map(([key, one]) => [name(key, where), member(one, `${where}.${key}`)]),
    );
  };
}

/**
 * An object of exactly these members.
 * @template {Shapes} R
 * @template {Shapes} [O={}]
 * @param {R} required
 * @param {O} [optional]
 * @returns {Shape<{ readonly [K in keyof R]: ReturnType<R[K]> }
 *   & { readonly [K in keyof O]?: ReturnType<O[K]> }>}
 */
export function record(required, optional) {
  const read = openRecord(required, optional);
  const known = { ...required, ...optional };
  return (value, where) => {
    const given = object(value, where);
    const strange = Object.keys(given).find((name) => !Object.hasOwn(known, name));
    if (strange !== undefined) {
      throw new MalformedError(`${where}: unknown member ${shown(strange)}`);
    }
    return read(given, where);
  };
}

/**
 * An object with these members; others are left alone. For what others define, and add
 * to.
 * @template {Shapes} R
 * @template {Shapes} [O={}]
 * @param {R} required
 * @param {O} [optional]
 * @returns {Shape<{ readonly [K in keyof R]: ReturnType<R[K]> }
 *   & { readonly [K in keyof O]?: ReturnType<O[K]> }>}
 */
export function openRecord(required, optional) {
  const shapes = new Map(Object.entries({ ...required, ...optional }));
  return (value, where) => {
    const given = object(value, where);
    /** @type {{ [name: string]: unknown }} */
    const read = {};
    for (const [name, shape] of shapes) {
      if (Object.hasOwn(given, name)) {
        read[name] = shape(given[name], `${where}.${name}`);
      } else if (Object.hasOwn(required, name)) {
        throw new MalformedError(`${where}: member ${name} is missing`);
      }
    }
    // Each member was read by its own shape just now: the type says the same.
    return /** @type {never} */ (read);
  };
}

/**
 * An object; its members are looked at elsewhere.
 * @type {Shape<JsonObject>}
 */
export function object(value, where) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new MalformedError(`${where}: found ${found(value)}, want an object`);
  }
  return value;
}

/** @param {JsonValue | undefined} value */
function found(value) {
  if (typeof value === "string") return shown(value);
  if (Array.isArray(value)) return "a list";
  return value !== null && typeof value === "object" ? "an object" : String(value);
}
