/**
 * TOML 1.0 as policies use it: tables, strings, integers and booleans.
 *
 * What a policy has no member for is refused here: floats, dates and times, and integers
 * beyond 2^53-1. The rest is TOML in all its spellings, and what TOML forbids is
 * refused: a key twice, a table reopened, a value extended, other control characters
 * than tab and line ends. Inline tables stand on one line, as TOML 1.0 has it.
 *
 * A table becomes an object without prototype, as JSON does in encoding.js, so that the
 * shapes of shapes.js read it.
 */

import { MalformedError } from "./errors.js";
import * as limits from "./limits.js";
import { Tables } from "./toml-tables.js";

/** @import { JsonObject, JsonValue } from "./encoding.js" */

/** Arrays and inline tables within one another; a policy needs three. */
const DEPTH = 64;
/** Parts of a dotted key; a policy needs three. */
const PARTS = 64;

const BARE = /[A-Za-z0-9_-]+/y;
const SPACE = /[ \t]*/y;
const SPACE_AND_LINES = /[ \t\n]*/y;
const COMMENT = /#[^\x00-\x08\x0a-\x1f\x7f]*/y;
const BASIC = /[^"\\\x00-\x08\x0a-\x1f\x7f]+/y;
const BASIC_LINES = /[^"\\\x00-\x08\x0b-\x1f\x7f]+/y;
const LITERAL = /'([^'\x00-\x08\x0a-\x1f\x7f]*)'/y;
const NOT_IN_LINES = /[\x00-\x08\x0b-\x1f\x7f]/;
/** A line end that a backslash takes away, with all white space around it. */
const CONTINUED = /\\[ \t]*\n[ \t\n]*/y;
const SHORT_ESCAPE = /\\([btnfr"\\])/y;
const UNICODE_ESCAPE = /\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))/y;
// A hundred digits are more than 2^53 ever needs, leading zeros included.
const INTEGER =
  /0x[0-9A-Fa-f](?:_?[0-9A-Fa-f]){0,99}|0o[0-7](?:_?[0-7]){0,99}|0b[01](?:_?[01]){0,99}|[+-]?(?:0|[1-9](?:_?[0-9]){0,99})/y;
const AFTER_VALUE = /(?=[ \t\n,\]}#]|$)/y;
const ESCAPES = new Map([
  ["b", "\b"],
  ["t", "\t"],
  ["n", "\n"],
  ["f", "\f"],
  ["r", "\r"],
  ['"', '"'],
  ["\\", "\\"],
]);

/**
 * The table that a file of TOML spells.
 * @param {string} text
 * @returns {JsonObject}
 * @throws {MalformedError} not TOML, or a value of another kind than those above
 */
export function parseToml(text) {
  return new Parser(text.replaceAll("\r\n", "\n")).file();
}

/** Where we are in the text, and its tables so far. */
class Parser {
  #text;
  #at = 0;
  #tables = new Tables();

  /** @param {string} text */
  constructor(text) {
    this.#text = text;
  }

  /** The whole file. */
  file() {
    try {
      while (this.#at < this.#text.length) this.#line();
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      const line = this.#text.slice(0, this.#at).split("\n").length;
      throw new MalformedError(`TOML, line ${line}: ${error.message}`);
    }
    return this.#tables.root;
  }

  #line() {
    this.#skip(SPACE);
    if (this.#starts("[")) this.#header();
    else if (
      this.#at < this.#text.length &&
      !this.#starts("\n") &&
      !this.#starts("#")
    ) {
      this.#pair(this.#tables.current);
    }
    this.#skip(SPACE);
    this.#skip(COMMENT);
    if (this.#at < this.#text.length) this.#expect("\n", "the end of the line");
  }

  // --- headers and keys ------------------------------------------------------------

  #header() {
    const list = this.#take("[[");
    if (!list) this.#expect("[", "a header");
    const key = this.#key();
    this.#expect(list ? "]]" : "]", "the end of the header");
    this.#tables.header(key, { list });
  }

  /**
   * A key, its value, and their place in a table.
   * @param {JsonObject} table
   * @param {number} [depth]
   */
  #pair(table, depth = DEPTH) {
    const key = this.#key();
    this.#expect("=", "an equals sign after a key");
    this.#skip(SPACE);
    this.#tables.put(table, key, this.#value(depth));
  }

  /** The parts of a key, and the white space around it. */
  #key() {
    const parts = [];
    do {
      this.#skip(SPACE);
      parts.push(this.#keyPart());
      this.#skip(SPACE);
      if (parts.length > PARTS)
        throw new MalformedError(`a key has more than ${PARTS} parts`);
    } while (this.#take("."));
    return parts;
  }

  #keyPart() {
    if (this.#take('"')) return this.#basic();
    const [quoted, literal] = this.#match(LITERAL);
    if (quoted !== undefined) return /** @type {string} */ (literal);
    const [bare] = this.#match(BARE);
    if (bare === undefined) throw new MalformedError("expected a key");
    return bare;
  }

  // --- values ----------------------------------------------------------------------

  /**
   * @param {number} depth how many arrays or inline tables may still open
   * @returns {JsonValue}
   */
  #value(depth) {
    if (depth === 0) throw new MalformedError(`a value nests deeper than ${DEPTH}`);
    if (this.#take('"""')) return this.#basicLines();
    if (this.#take('"')) return this.#basic();
    if (this.#take("'''")) return this.#literalLines();
    const [, literal] = this.#match(LITERAL);
    if (literal !== undefined) return literal;
    if (this.#take("[")) return this.#array(depth - 1);
    if (this.#take("{")) return this.#inlineTable(depth - 1);
    if (this.#take("true")) return true;
    if (this.#take("false")) return false;
    return this.#integer();
  }

  #integer() {
    const [digits] = this.#match(INTEGER);
    if (digits === undefined || this.#match(AFTER_VALUE).length === 0) {
      throw new MalformedError(
        "expected a string, an integer, true, false, an array or a table",
      );
    }
    const plain = digits.replaceAll("_", "");
    const number = plain.startsWith("-")
      ? -BigInt(plain.slice(1))
      : BigInt(plain.replace("+", ""));
    if (number > limits.INTEGER || number < -limits.INTEGER) {
      throw new MalformedError("an integer beyond 2^53-1");
    }
    return Number(number);
  }

  /**
   * @param {number} depth
   * @returns {JsonValue[]}
   */
  #array(depth) {
    /** @type {JsonValue[]} */
    const items = [];
    this.#skipLines();
    while (!this.#take("]")) {
      items.push(this.#value(depth));
      this.#skipLines();
      if (!this.#take(",") && !this.#starts("]")) {
        throw new MalformedError("expected a comma or the end of an array");
      }
      this.#skipLines();
    }
    return items;
  }

  /**
   * @param {number} depth
   * @returns {JsonObject}
   */
  #inlineTable(depth) {
    /** @type {JsonObject} */
    const table = Object.create(null);
    this.#skip(SPACE);
    if (this.#take("}")) return table;
    do {
      this.#pair(table, depth);
      this.#skip(SPACE);
    } while (this.#take(","));
    this.#expect("}", "a comma or the end of an inline table");
    return table;
  }

  /** The rest of a basic string, to its end. */
  #basic() {
    let text = "";
    while (!this.#take('"')) {
      const [run] = this.#match(BASIC);
      text += run ?? this.#escape();
    }
    return text;
  }

  /** The same, of several lines: quotes may stand within it, and two at its end. */
  #basicLines() {
    this.#take("\n");
    let text = "";
    while (!this.#take('"""')) {
      if (this.#take('"')) text += '"';
      else if (this.#match(CONTINUED).length === 0) {
        const [run] = this.#match(BASIC_LINES);
        text += run ?? this.#escape();
      }
    }
    return text + this.#quotesAtEnd('"');
  }

  /** The rest of a literal string of several lines; two quotes may stand at its end. */
  #literalLines() {
    this.#take("\n");
    const end = this.#text.indexOf("'''", this.#at);
    const text = this.#text.slice(this.#at, Math.max(end, this.#at));
    if (end < 0 || NOT_IN_LINES.test(text)) {
      throw new MalformedError(
        "a string without its end, or with what may not stand in it",
      );
    }
    this.#at = end + 3;
    return text + this.#quotesAtEnd("'");
  }

  /**
   * The up to two quotes that are the last of a string before the three that end it.
   * @param {string} quote
   */
  #quotesAtEnd(quote) {
    let text = "";
    while (text.length < 2 && this.#take(quote)) text += quote;
    return text;
  }

  #escape() {
    const [, short] = this.#match(SHORT_ESCAPE);
    if (short !== undefined) return /** @type {string} */ (ESCAPES.get(short));
    const [, four, eight] = this.#match(UNICODE_ESCAPE);
    const point = parseInt(four ?? eight ?? "", 16);
    if (!(point <= 0x10ffff) || (point >= 0xd800 && point <= 0xdfff)) {
      throw new MalformedError(
        "a string without its end, or with what may not stand in it",
      );
    }
    return String.fromCodePoint(point);
  }

  // --- the text --------------------------------------------------------------------

  /**
   * What a sticky pattern matches here, with its groups; nothing, if it does not.
   * @param {RegExp} pattern
   * @returns {(string | undefined)[]}
   */
  #match(pattern) {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return [];
    this.#at = pattern.lastIndex;
    return match;
  }

  /** White space, line ends and comments, as they may stand within an array. */
  #skipLines() {
    do {
      this.#skip(SPACE_AND_LINES);
    } while (this.#match(COMMENT).length > 0);
  }

  /** @param {RegExp} pattern */
  #skip(pattern) {
    this.#match(pattern);
  }

  /** @param {string} text */
  #starts(text) {
    return this.#text.startsWith(text, this.#at);
  }

  /** @param {string} text */
  #take(text) {
    const found = this.#starts(text);
    if (found) this.#at += text.length;
    return found;
  }

  /**
   * @param {string} text
   * @param {string} expected
   */
  #expect(text, expected) {
    if (!this.#take(text)) throw new MalformedError(`expected ${expected}`);
  }
}
