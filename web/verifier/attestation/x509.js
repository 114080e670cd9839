/**
 * One X.509 certificate (RFC 5280 section 4.1), as the chains of documents have them.
 *
 *     SEQUENCE {
 *       SEQUENCE {                         what is signed
 *         [0] INTEGER 2                    version 3
 *         INTEGER                          serial number, at most 20 bytes
 *         SEQUENCE { OID }                 signature algorithm
 *         Name                             issuer
 *         SEQUENCE { time, time }          validity
 *         Name                             subject
 *         SEQUENCE { SEQUENCE { OID, .. }, BIT STRING }         public key
 *         [3] SEQUENCE OF SEQUENCE { OID, BOOLEAN?, OCTET STRING }   extensions
 *       }
 *       SEQUENCE { OID }                   signature algorithm, again
 *       BIT STRING                         SEQUENCE { INTEGER r, INTEGER s }
 *     }
 *
 * Everything is read, and nothing may be left over. Two extensions are understood,
 * basicConstraints and keyUsage; of the others the value is kept, and which are critical.
 * Nothing is verified here, and no rule of the chain is applied: that is chain.js.
 */

import { decodeText, encodeHex } from "../encoding.js";
import { MalformedError } from "../errors.js";
import * as der from "./der.js";
import * as ecdsa from "./ecdsa.js";

/** @import { Bytes } from "../encoding.js" */
/** @import { Reader } from "./der.js" */
/** @import { Suite } from "./ecdsa.js" */

/**
 * A certificate as it reads; nothing of it is verified.
 * @typedef {object} Certificate
 * @property {Suite} suite of the chain that it was read for
 * @property {Bytes} signed the bytes that the issuer signed
 * @property {string[]} algorithms the signature's AlgorithmIdentifier, inside and
 *   outside of what is signed, in hex
 * @property {Bytes} signature DER, as ECDSA's are if the algorithm is
 * @property {Bytes} serial number, without the zero before a high bit
 * @property {Bytes} issuer a Name in DER; names are the same if their bytes are
 * @property {Bytes} subject
 * @property {string} commonName of the subject, for people; empty if none can be read
 * @property {string | null} plainName of the subject, without the types of its strings;
 *   null if one of them cannot be read
 * @property {number} notBefore unix seconds; valid at this and at `notAfter`
 * @property {number} notAfter
 * @property {Bytes} spki the SubjectPublicKeyInfo in DER
 * @property {CryptoKey | null} key of the suite; null if it is another key
 * @property {BasicConstraints | null} constraints
 * @property {KeyUsage | null} usage
 * @property {ReadonlyMap<string, Bytes>} others the extensions that are not understood
 * @property {string[]} unknownCritical those of them that are critical
 */

/** @typedef {{ critical: boolean, ca: boolean, pathLength: number | null }} BasicConstraints */
/** @typedef {{ critical: boolean, bits: Set<number> }} KeyUsage */
/** @typedef {{ name: string, critical: boolean, value: Bytes }} Extension */

/** Bits of keyUsage (RFC 5280 section 4.2.1.3). */
export const DIGITAL_SIGNATURE = 0;
export const KEY_CERT_SIGN = 5;
export const CRL_SIGN = 6;

const VERSION_3 = 2;
/** Bytes of a serial number, at most (RFC 5280 section 4.1.2.2). */
const SERIAL = 20;
/** UniversalString and BMPString, which no name has had for decades. */
const WIDE = [0x1c, 0x1e];
/** Types that names have nowadays, and those that they may have. */
const NOWADAYS = [der.UTF8_STRING, der.PRINTABLE_STRING];
const TEXTS = [...NOWADAYS, 0x04, 0x12, 0x14, 0x16, 0x17, 0x18, 0x1a];
const PRINTABLE = /^[A-Za-z0-9 '()+,\-./:=?]*$/;
const COMMON_NAME = "2.5.4.3";
const BASIC_CONSTRAINTS = "2.5.29.19";
const KEY_USAGE = "2.5.29.15";
const UNDERSTOOD = new Set([BASIC_CONSTRAINTS, KEY_USAGE]);

/**
 * Read one certificate.
 * @param {Suite} suite the algorithms of its chain
 * @param {Bytes} data
 * @returns {Promise<Certificate>}
 * @throws {MalformedError} not a certificate of this form in DER, or bytes after it
 */
export async function read(suite, data) {
  try {
    const outer = der.whole(data, der.SEQUENCE);
    const signed = outer.element(der.SEQUENCE);
    const algorithm = ecdsa.readAlgorithm(outer);
    const signature = der.wholeBytes(outer.content(der.BIT_STRING));
    outer.end();
    return await readSigned(suite, signed, algorithm, signature);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new MalformedError(`not a readable certificate: ${error.message}`);
  }
}

/**
 * @param {Suite} suite
 * @param {Bytes} signed
 * @param {string} outerAlgorithm
 * @param {Bytes} signature
 * @returns {Promise<Certificate>}
 */
async function readSigned(suite, signed, outerAlgorithm, signature) {
  const reader = der.whole(signed, der.SEQUENCE);
  readVersion(reader);
  const serial = readSerial(reader);
  const algorithm = ecdsa.readAlgorithm(reader);
  const issuer = reader.element(der.SEQUENCE);
  readName(issuer);
  const validity = reader.enter(der.SEQUENCE);
  const [notBefore, notAfter] = [der.time(validity), der.time(validity)];
  validity.end();
  const subject = reader.element(der.SEQUENCE);
  const { commonName, plain } = readName(subject);
  const spki = reader.element(der.SEQUENCE);
  const key = await ecdsa.readKey(suite, der.whole(spki, der.SEQUENCE));
  const extensions = reader.done ? new Map() : readExtensions(reader, der.explicit(3));
  reader.end();
  const others = [...extensions.values()].filter(({ name }) => !UNDERSTOOD.has(name));
  return {
    suite,
    signed,
    algorithms: [algorithm, outerAlgorithm],
    signature,
    serial,
    issuer,
    subject,
    commonName,
    plainName: plain,
    notBefore,
    notAfter,
    spki,
    key,
    constraints: readConstraints(extensions.get(BASIC_CONSTRAINTS)),
    usage: readUsage(extensions.get(KEY_USAGE)),
    others: new Map(others.map(({ name, value }) => [name, value])),
    unknownCritical: others.filter(({ critical }) => critical).map(({ name }) => name),
  };
}

/** @param {Reader} reader */
function readVersion(reader) {
  const version = reader.enter(der.explicit(0));
  const content = der.unsigned(version.content(der.INTEGER));
  version.end();
  if (content.length !== 1 || content[0] !== VERSION_3) {
    throw new MalformedError("expected a certificate of version 3");
  }
}

/**
 * A certificate's number, without the zero before a high bit.
 * @param {Reader} reader
 */
export function readSerial(reader) {
  const serial = der.unsigned(reader.content(der.INTEGER));
  if (serial.length > SERIAL) {
    throw new MalformedError(`expected a serial number of at most ${SERIAL} bytes`);
  }
  return serial;
}

/**
 * What a Name says, for people. What a path is made of is the Name's bytes.
 * @param {Bytes} name
 * @returns {{ commonName: string, plain: string | null }} the common names, empty if none
 *   can be read; and all of it without the types of its strings, null if one of them
 *   cannot be read
 */
export function readName(name) {
  const reader = der.whole(name, der.SEQUENCE);
  const commonNames = [];
  /** @type {(string | null)[]} */
  const plain = [];
  while (!reader.done) {
    const attributes = reader.enter(der.SET);
    let before = "";
    do {
      const element = attributes.element(der.SEQUENCE);
      const order = encodeHex(element);
      if (order < before) throw new MalformedError("a set in a name is not in order");
      before = order;
      const attribute = der.whole(element, der.SEQUENCE);
      const type = der.objectIdentifier(attribute.content(der.OBJECT_IDENTIFIER));
      const value = attribute.element();
      attribute.end();
      if (WIDE.some((tag) => value[0] === tag)) {
        throw new MalformedError("a name in characters of two or four bytes");
      }
      if (type === COMMON_NAME) commonNames.push(readText(value, NOWADAYS) ?? "");
      const text = readText(value, TEXTS);
      plain.push(text === null ? null : JSON.stringify([type, text]));
    } while (!attributes.done);
    plain.push(";");
  }
  return {
    commonName: commonNames.join(", "),
    plain: plain.includes(null) ? null : plain.join(""),
  };
}

/**
 * A text of one of some types; another, or a bad one, is null: a path is sound even if
 * the names on it cannot be read.
 * @param {Bytes} element
 * @param {readonly number[]} types
 */
function readText(element, types) {
  const reader = new der.Reader(element);
  const known = types.find((tag) => reader.has(tag));
  if (known === undefined) return null;
  try {
    const text = decodeText(reader.content(known));
    return known === der.PRINTABLE_STRING && !PRINTABLE.test(text) ? null : text;
  } catch {
    return null;
  }
}

/**
 * Extensions, each once; at least one.
 * @param {Reader} reader
 * @param {number} [tag] what they are wrapped in, if in anything
 * @returns {ReadonlyMap<string, Extension>} by name
 */
export function readExtensions(reader, tag) {
  const wrapper = tag === undefined ? reader : reader.enter(tag);
  const list = wrapper.enter(der.SEQUENCE);
  if (tag !== undefined) wrapper.end();
  /** @type {Map<string, Extension>} */
  const extensions = new Map();
  do {
    const extension = list.enter(der.SEQUENCE);
    const name = der.objectIdentifier(extension.content(der.OBJECT_IDENTIFIER));
    const critical = readFlag(extension);
    const value = extension.content(der.OCTET_STRING);
    extension.end();
    if (extensions.has(name)) throw new MalformedError("an extension stands twice");
    extensions.set(name, { name, critical, value });
  } while (!list.done);
  return extensions;
}

/**
 * A BOOLEAN DEFAULT FALSE: in DER, false is absent.
 * @param {Reader} reader
 */
function readFlag(reader) {
  if (!reader.has(der.BOOLEAN)) return false;
  if (!der.boolean(reader.content(der.BOOLEAN))) {
    throw new MalformedError("DER: a default value is written out");
  }
  return true;
}

/**
 * @param {Extension | undefined} extension
 * @returns {BasicConstraints | null}
 */
function readConstraints(extension) {
  if (extension === undefined) return null;
  const reader = der.whole(extension.value, der.SEQUENCE);
  const ca = readFlag(reader);
  const length = reader.done ? null : der.unsigned(reader.content(der.INTEGER));
  reader.end();
  if (length !== null && (!ca || length.length > 1)) {
    throw new MalformedError("expected a path length below 256, and in a CA alone");
  }
  const pathLength = length === null ? null : Number(length[0]);
  return { critical: extension.critical, ca, pathLength };
}

/**
 * @param {Extension | undefined} extension
 * @returns {KeyUsage | null}
 */
function readUsage(extension) {
  if (extension === undefined) return null;
  const reader = new der.Reader(extension.value);
  const bits = der.namedBits(reader.content(der.BIT_STRING));
  reader.end();
  return { critical: extension.critical, bits };
}
