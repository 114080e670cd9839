/**
 * The tables of a TOML file, and who may still add to each (toml.js reads the text).
 *
 * TOML says each thing once. A header names a table that no other header named; what is
 * written out as a value is complete; a dotted key may go on only with tables that keys
 * of its own section began, or that headers of tables within them implied.
 */

import { shown } from "./encoding.js";
import { MalformedError } from "./errors.js";

/** @import { JsonObject, JsonValue } from "./encoding.js" */
/** @typedef {JsonObject | JsonValue[]} Container */

/** By the header of a table within it: may get a header of its own, or keys. */
const IMPLICIT = 0;
/** By a header of its own. */
const CLOSED = -1;
// By dotted keys: the number of their section, 1, 2 and so on.

/** A file's tables, while it is read. What is no member of `#made` is a value. */
export class Tables {
  /** @type {JsonObject} */
  root = Object.create(null);
  /** The table of the newest header, to which keys add. */
  current = this.root;
  /** Counts the headers. */
  #section = 1;
  /** @type {Map<Container, number>} IMPLICIT, CLOSED or a section */
  #made = new Map();

  /**
   * Go on to the table of a header `[a.b]`, or to one more of `[[a.b]]`.
   * @param {readonly string[]} key
   * @param {{ list: boolean }} kind
   * @throws {MalformedError} it was named or written out before
   */
  header(key, { list }) {
    this.#section += 1;
    let table = this.root;
    for (const part of key.slice(0, -1)) table = this.#throughHeader(table, part);
    const name = lastOf(key);
    this.current = list ? this.#append(table, name) : this.#open(table, name);
  }

  /**
   * Put a value where a dotted key says, from `table` on.
   * @param {JsonObject} table
   * @param {readonly string[]} key
   * @param {JsonValue} value
   * @throws {MalformedError} it is there, or what it would be in is complete
   */
  put(table, key, value) {
    for (const part of key.slice(0, -1)) table = this.#throughKey(table, part);
    const name = lastOf(key);
    if (name in table) throw new MalformedError(`${shown(name)} stands twice`);
    table[name] = value;
  }

  /**
   * The table that a header leads through: of an array of tables, the last.
   * @param {JsonObject} table
   * @param {string} part
   * @returns {JsonObject}
   */
  #throughHeader(table, part) {
    const found = table[part];
    if (found === undefined) return this.#create(table, part, IMPLICIT);
    if (isContainer(found) && this.#made.has(found)) {
      return Array.isArray(found) ? /** @type {JsonObject} */ (found.at(-1)) : found;
    }
    throw new MalformedError(`a header leads through the value of ${shown(part)}`);
  }

  /**
   * The table of a header `[name]`, which no other has named.
   * @param {JsonObject} table
   * @param {string} name
   * @returns {JsonObject}
   */
  #open(table, name) {
    const found = table[name];
    if (found === undefined) return this.#create(table, name, CLOSED);
    if (!isTable(found) || this.#made.get(found) !== IMPLICIT) {
      throw new MalformedError(`table ${shown(name)} stands twice`);
    }
    this.#made.set(found, CLOSED);
    return found;
  }

  /**
   * One more table of a header `[[name]]`.
   * @param {JsonObject} table
   * @param {string} name
   * @returns {JsonObject}
   */
  #append(table, name) {
    const found = table[name] ?? [];
    if (!Array.isArray(found) || (name in table && !this.#made.has(found))) {
      throw new MalformedError(`${shown(name)} is no array of tables`);
    }
    table[name] = found;
    this.#made.set(found, CLOSED);
    /** @type {JsonObject} */
    const one = Object.create(null);
    this.#made.set(one, CLOSED);
    found.push(one);
    return one;
  }

  /**
   * @param {JsonObject} table
   * @param {string} name
   * @param {number} made
   * @returns {JsonObject}
   */
  #create(table, name, made) {
    /** @type {JsonObject} */
    const created = Object.create(null);
    this.#made.set(created, made);
    table[name] = created;
    return created;
  }

  /**
   * The table that a dotted key leads through: one that only keys of this section, or
   * headers of tables within it, have named.
   * @param {JsonObject} table
   * @param {string} part
   * @returns {JsonObject}
   */
  #throughKey(table, part) {
    const found = table[part];
    if (found === undefined) return this.#create(table, part, this.#section);
    const made = isTable(found) ? this.#made.get(found) : undefined;
    if (!isTable(found) || (made !== IMPLICIT && made !== this.#section)) {
      throw new MalformedError(`${shown(part)} has been written out before`);
    }
    this.#made.set(found, this.#section);
    return found;
  }
}

/** @param {readonly string[]} key at least one part */
function lastOf(key) {
  return /** @type {string} */ (key.at(-1));
}

/**
 * @param {JsonValue | undefined} value
 * @returns {value is Container}
 */
function isContainer(value) {
  return typeof value === "object" && value !== null;
}

/**
 * @param {JsonValue | undefined} value
 * @returns {value is JsonObject}
 */
function isTable(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
