/**
 * DER (X.690) as certificates use it: each value in its one form.
 *
 *     tag, one byte    length    content
 *
 *     length    00..7f    81 80..ff    82 0100..ffff    83 010000..ffffff
 *
 * Refused are lengths longer than they need be, indefinite ones, tags of several bytes,
 * and what is left over in or after an element. The types read here are those of
 * certificates and revocation lists, each as strictly: an INTEGER without needless bytes, a BOOLEAN
 * that is 00 or ff, an OBJECT IDENTIFIER whose arcs have no leading zeros, a time with
 * seconds and Z.
 */

import { decodeLatin1, formatTime } from "../encoding.js";
import { MalformedError } from "../errors.js";

/** @import { Bytes } from "../encoding.js" */

export const BOOLEAN = 0x01;
export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const OBJECT_IDENTIFIER = 0x06;
export const UTF8_STRING = 0x0c;
export const PRINTABLE_STRING = 0x13;
export const UTC_TIME = 0x17;
export const GENERALIZED_TIME = 0x18;
export const SEQUENCE = 0x30;
export const SET = 0x31;

/**
 * Context-specific and constructed: [0], [3].
 * @param {number} number below 31
 */
export function explicit(number) {
  return 0xa0 | number;
}

/** The elements of some bytes, one after the other. */
export class Reader {
  #data;
  #at = 0;

  /** @param {Bytes} data */
  constructor(data) {
    this.#data = data;
  }

  /** Whether all has been read. */
  get done() {
    return this.#at === this.#data.length;
  }

  /**
   * Whether the next element has this tag.
   * @param {number} tag
   */
  has(tag) {
    return this.#data[this.#at] === tag;
  }

  /**
   * The content of the next element, which has this tag.
   * @param {number} tag
   */
  content(tag) {
    if (!this.has(tag)) {
      const found = this.#data[this.#at]?.toString(16) ?? "the end";
      throw new MalformedError(`DER: expected tag ${tag.toString(16)}, found ${found}`);
    }
    return this.#next();
  }

  /**
   * The next element with its tag and length, of any tag or of this one.
   * @param {number} [tag]
   */
  element(tag) {
    const start = this.#at;
    if (tag === undefined) this.#next();
    else this.content(tag);
    return this.#data.subarray(start, this.#at);
  }

  /**
   * The elements within the next one, which has this tag.
   * @param {number} tag
   */
  enter(tag) {
    return new Reader(this.content(tag));
  }

  /** All has been read, or it is malformed. */
  end() {
    if (!this.done) {
      throw new MalformedError(`DER: ${this.#data.length - this.#at} bytes more`);
    }
  }

  #next() {
    const data = this.#data;
    const [tag, first] = data.subarray(this.#at, this.#at + 2);
    let start = this.#at + 2;
    let length = -1;
    if (tag !== undefined && first !== undefined && (tag & 0x1f) !== 0x1f) {
      if (first < 0x80) length = first;
      else if (first > 0x80 && first <= 0x83) {
        const digits = data.subarray(start, start + first - 0x80);
        const number = digits.reduce((sum, byte) => 256 * sum + byte, 0);
        // X.690 10.1: the shortest; what is below 80 takes no digits.
        const shortest = (digits[0] ?? 0) > 0 && number >= 0x80;
        if (shortest && digits.length === first - 0x80) length = number;
        start += digits.length;
      }
    }
    if (length < 0) {
      throw new MalformedError(
        "DER: expected a tag of one byte and the shortest length",
      );
    }
    if (start + length > data.length) {
      const left = data.length - start;
      throw new MalformedError(
        `DER: expected ${length} bytes of content, found ${left}`,
      );
    }
    this.#at = start + length;
    return data.subarray(start, this.#at);
  }
}

/**
 * The one element that `data` consists of.
 * @param {Bytes} data
 * @param {number} tag
 */
export function whole(data, tag) {
  const reader = new Reader(data);
  const content = reader.content(tag);
  reader.end();
  return new Reader(content);
}

/**
 * The bytes of an INTEGER that is not negative, without the zero before a high bit.
 * @param {Bytes} content
 */
export function unsigned(content) {
  const [first, second] = content;
  if (first === undefined || first >= 0x80) {
    throw new MalformedError("DER: expected an integer that is not negative");
  }
  if (first !== 0 || second === undefined) return content;
  if (second < 0x80) throw new MalformedError("DER: an integer longer than need be");
  return content.subarray(1);
}

/** @param {Bytes} content */
export function boolean(content) {
  const [value] = content;
  if (content.length !== 1 || (value !== 0 && value !== 0xff)) {
    throw new MalformedError("DER: expected a boolean, 00 or ff");
  }
  return value === 0xff;
}

/**
 * An OBJECT IDENTIFIER in numbers and dots.
 * @param {Bytes} content
 */
export function objectIdentifier(content) {
  const arcs = [];
  let arc = 0n;
  let begins = true;
  for (const byte of content) {
    if (begins && byte === 0x80) {
      throw new MalformedError("DER: an object identifier longer than need be");
    }
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    begins = byte < 0x80;
    if (begins) {
      arcs.push(arc);
      arc = 0n;
    }
  }
  const [first, ...rest] = arcs;
  if (first === undefined || !begins) {
    throw new MalformedError("DER: expected an object identifier");
  }
  const root = first < 80n ? first / 40n : 2n;
  return [root, first - 40n * root, ...rest].join(".");
}

/**
 * The bytes of a BIT STRING without unused bits.
 * @param {Bytes} content
 */
export function wholeBytes(content) {
  if (content[0] !== 0) {
    throw new MalformedError("DER: expected a bit string without unused bits");
  }
  return content.subarray(1);
}

/**
 * The numbers of the bits that are set in a named bit list, which ends in one of them.
 * @param {Bytes} content
 * @returns {Set<number>}
 */
export function namedBits(content) {
  const [unused, ...bytes] = content;
  const last = bytes.at(-1);
  // X.690 11.2.2: zero bits at the end are dropped, so the last one is set.
  if (
    unused === undefined ||
    unused > 7 ||
    last === undefined ||
    (last & -last) !== 1 << unused
  ) {
    throw new MalformedError(
      "DER: expected a bit string that ends in a bit that is set",
    );
  }
  const bits = bytes.flatMap((byte, at) =>
    [0, 1, 2, 3, 4, 5, 6, 7]
      .filter((bit) => byte & (0x80 >> bit))
      .map((bit) => 8 * at + bit),
  );
  return new Set(bits);
}

/**
 * Unix seconds of a UTCTime (1950 to 2049) or, from 2050 on, a GeneralizedTime (RFC 5280
 * section 4.1.2.5).
 * @param {Reader} reader
 */
export function time(reader) {
  const short = reader.has(UTC_TIME);
  const text = decodeLatin1(reader.content(short ? UTC_TIME : GENERALIZED_TIME));
  const century = short ? (text < "50" ? "20" : "19") : "";
  const parts = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(century + text);
  if (parts !== null && (short || text >= "2050")) {
    const [, year, month, day, hour, minute, second] = parts;
    const spelled = `${year}-${month}-${day}T${hour}:${minute}:${second}Z`;
    const seconds = Date.parse(spelled) / 1000;
    // Date.parse may take 30 February and hour 24; formatting again shows it.
    if (Number.isFinite(seconds) && formatTime(seconds) === spelled) return seconds;
  }
  throw new MalformedError(
    "DER: expected a time that exists, in UTC with seconds, in its short form to 2049",
  );
}
