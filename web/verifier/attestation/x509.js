/**
 * One X.509 certificate (RFC 5280 section 4.1) of a Nitro document's chain.
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
 * basicConstraints and keyUsage; of the others the name is kept if they are critical.
 * Nothing is verified here, and no rule of the chain is applied: that is chain.js.
 */

import { decodeText, encodeHex } from "../encoding.js";
import { MalformedError } from "../errors.js";
import * as der from "./der.js";

/** @import { Bytes } from "../encoding.js" */
/** @import { Reader } from "./der.js" */

/**
 * A certificate as it reads; nothing of it is verified.
 * @typedef {object} Certificate
 * @property {Bytes} signed the bytes that the issuer signed
 * @property {string[]} algorithms the signature's AlgorithmIdentifier, inside and
 *   outside of what is signed, in hex
 * @property {Bytes} signature DER, as ECDSA's are if the algorithm is
 * @property {Bytes} issuer a Name in DER; names are the same if their bytes are
 * @property {Bytes} subject
 * @property {string} commonName of the subject, for people; empty if none can be read
 * @property {number} notBefore unix seconds; valid at this and at `notAfter`
 * @property {number} notAfter
 * @property {CryptoKey | null} key to verify ES384 with; null if it is another key
 * @property {BasicConstraints | null} constraints
 * @property {KeyUsage | null} usage
 * @property {string[]} unknownCritical the critical extensions that are not understood
 */

/** @typedef {{ critical: boolean, ca: boolean, pathLength: number | null }} BasicConstraints */
/** @typedef {{ critical: boolean, bits: Set<number> }} KeyUsage */
/** @typedef {{ name: string, critical: boolean, value: Bytes }} Extension */

/** Bits of keyUsage (RFC 5280 section 4.2.1.3). */
export const DIGITAL_SIGNATURE = 0;
export const KEY_CERT_SIGN = 5;

const VERSION_3 = 2;
/** Bytes of a serial number, at most (RFC 5280 section 4.1.2.2). */
const SERIAL = 20;
/** id-ecPublicKey on secp384r1, which is P-384. */
const P384 = "301006072a8648ce3d020106052b81040022";
/** Of an uncompressed point: 04, x, y. */
const POINT = 97;
const UNCOMPRESSED = 4;
/** Bytes of a number r or s below the order of P-384. */
const HALF = 48;
/** UniversalString and BMPString, which no name has had for decades. */
const WIDE = [0x1c, 0x1e];
const COMMON_NAME = "2.5.4.3";
const BASIC_CONSTRAINTS = "2.5.29.19";
const KEY_USAGE = "2.5.29.15";

/**
 * Read one certificate.
 * @param {Bytes} data
 * @returns {Promise<Certificate>}
 * @throws {MalformedError} not a certificate of this form in DER, or bytes after it
 */
export async function read(data) {
  try {
    const outer = der.whole(data, der.SEQUENCE);
    const signed = outer.element(der.SEQUENCE);
    const algorithm = readAlgorithm(outer);
    const signature = der.wholeBytes(outer.content(der.BIT_STRING));
    outer.end();
    return await readSigned(signed, algorithm, signature);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new MalformedError(`not a readable certificate: ${error.message}`);
  }
}

/**
 * @param {Bytes} signed
 * @param {string} outerAlgorithm
 * @param {Bytes} signature
 * @returns {Promise<Certificate>}
 */
async function readSigned(signed, outerAlgorithm, signature) {
  const reader = der.whole(signed, der.SEQUENCE);
  readVersion(reader);
  readSerial(reader);
  const algorithm = readAlgorithm(reader);
  const issuer = reader.element(der.SEQUENCE);
  readName(issuer);
  const validity = reader.enter(der.SEQUENCE);
  const [notBefore, notAfter] = [der.time(validity), der.time(validity)];
  validity.end();
  const subject = reader.element(der.SEQUENCE);
  const commonName = readName(subject);
  const key = await readKey(reader.enter(der.SEQUENCE));
  const extensions = reader.done ? [] : readExtensions(reader);
  reader.end();
  const known = new Map(extensions.map((extension) => [extension.name, extension]));
  if (known.size !== extensions.length) {
    throw new MalformedError("an extension stands twice");
  }
  return {
    signed,
    algorithms: [algorithm, outerAlgorithm],
    signature,
    issuer,
    subject,
    commonName,
    notBefore,
    notAfter,
    key,
    constraints: readConstraints(known.get(BASIC_CONSTRAINTS)),
    usage: readUsage(known.get(KEY_USAGE)),
    unknownCritical: extensions
      .filter(
        ({ name, critical }) =>
          critical && name !== BASIC_CONSTRAINTS && name !== KEY_USAGE,
      )
      .map(({ name }) => name),
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

/** @param {Reader} reader */
function readSerial(reader) {
  if (der.unsigned(reader.content(der.INTEGER)).length > SERIAL) {
    throw new MalformedError(`expected a serial number of at most ${SERIAL} bytes`);
  }
}

/**
 * An AlgorithmIdentifier in hex: an algorithm, and one parameter or none.
 * @param {Reader} reader
 */
function readAlgorithm(reader) {
  const element = reader.element(der.SEQUENCE);
  const algorithm = der.whole(element, der.SEQUENCE);
  der.objectIdentifier(algorithm.content(der.OBJECT_IDENTIFIER));
  if (!algorithm.done) algorithm.element();
  algorithm.end();
  return encodeHex(element);
}

/**
 * The common names in a Name, for people. What is compared is the Name's bytes.
 * @param {Bytes} name
 */
function readName(name) {
  const reader = der.whole(name, der.SEQUENCE);
  const names = [];
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
      if (type === COMMON_NAME) names.push(readText(value));
    } while (!attributes.done);
  }
  return names.join(", ");
}

/**
 * A text of a type that names have nowadays; another, or a bad one, is read as nothing:
 * a path is sound even if the names on it cannot be read.
 * @param {Bytes} element
 */
function readText(element) {
  const reader = new der.Reader(element);
  const known = [der.UTF8_STRING, der.PRINTABLE_STRING].find((tag) => reader.has(tag));
  if (known === undefined) return "";
  try {
    return decodeText(reader.content(known));
  } catch {
    return "";
  }
}

/**
 * A key on P-384; null for one of another algorithm, which is read no further.
 * @param {Reader} info a SubjectPublicKeyInfo
 * @returns {Promise<CryptoKey | null>}
 */
async function readKey(info) {
  const algorithm = readAlgorithm(info);
  const bits = info.content(der.BIT_STRING);
  info.end();
  if (algorithm !== P384) return null;
  const point = der.wholeBytes(bits);
  if (point.length !== POINT || point[0] !== UNCOMPRESSED) {
    throw new MalformedError("expected an uncompressed point of P-384");
  }
  const curve = { name: "ECDSA", namedCurve: "P-384" };
  try {
    return await crypto.subtle.importKey("raw", point, curve, false, ["verify"]);
  } catch (error) {
    if (!(error instanceof DOMException) || error.name !== "DataError") throw error;
    throw new MalformedError("a public key is not a point of P-384");
  }
}

/**
 * @param {Reader} reader
 * @returns {Extension[]}
 */
function readExtensions(reader) {
  const wrapper = reader.enter(der.explicit(3));
  const list = wrapper.enter(der.SEQUENCE);
  wrapper.end();
  /** @type {Extension[]} */
  const extensions = [];
  do {
    const extension = list.enter(der.SEQUENCE);
    const name = der.objectIdentifier(extension.content(der.OBJECT_IDENTIFIER));
    const critical = readFlag(extension);
    const value = extension.content(der.OCTET_STRING);
    extension.end();
    extensions.push({ name, critical, value });
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

/**
 * The signature of ECDSA on P-384 as WebCrypto takes it, r || s, from DER.
 * @param {Bytes} signature
 * @returns {Bytes}
 * @throws {MalformedError} not two integers of at most 48 bytes
 */
export function rawSignature(signature) {
  const reader = der.whole(signature, der.SEQUENCE);
  const raw = new Uint8Array(2 * HALF);
  for (const end of [HALF, 2 * HALF]) {
    const number = der.unsigned(reader.content(der.INTEGER));
    if (number.length > HALF) {
      throw new MalformedError(`DER: expected a number of at most ${HALF} bytes`);
    }
    raw.set(number, end - number.length);
  }
  reader.end();
  return raw;
}
