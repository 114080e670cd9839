/**
 * ECDSA as certificates and documents use it: one curve with its one hash, by WebCrypto.
 *
 *     ES384   P-384, SHA-384   AWS: all certificates and documents
 *     ES256   P-256, SHA-256   Intel: certificates, revocation lists, quotes, collateral
 *
 * Whoever reads says which of the two is meant; what is read never chooses. A public key
 * is an uncompressed point, 04 x y. A signature is r || s where it stands alone, and a
 * SEQUENCE of two INTEGERs in certificates.
 */

import { encodeHex } from "../encoding.js";
import { MalformedError } from "../errors.js";
import * as der from "./der.js";

/** @import { Bytes } from "../encoding.js" */
/** @import { Reader } from "./der.js" */

/**
 * A curve and its hash.
 * @typedef {object} Suite
 * @property {"P-256" | "P-384"} curve
 * @property {string} hash
 * @property {number} size bytes of a coordinate, and of r and s
 * @property {string} keys AlgorithmIdentifier of its keys, in hex: id-ecPublicKey, curve
 * @property {string} signatures AlgorithmIdentifier of its signatures, in hex: one OBJECT
 *   IDENTIFIER alone
 * @property {string} signed the same for people
 */

/** @type {Suite} */
export const ES384 = {
  curve: "P-384",
  hash: "SHA-384",
  size: 48,
  keys: "301006072a8648ce3d020106052b81040022",
  signatures: "300a06082a8648ce3d040303",
  signed: "ecdsa-with-SHA384",
};

/** @type {Suite} */
export const ES256 = {
  curve: "P-256",
  hash: "SHA-256",
  size: 32,
  keys: "301306072a8648ce3d020106082a8648ce3d030107",
  signatures: "300a06082a8648ce3d040302",
  signed: "ecdsa-with-SHA256",
};

const UNCOMPRESSED = 4;

/**
 * An AlgorithmIdentifier in hex: an algorithm, and one parameter or none.
 * @param {Reader} reader
 */
export function readAlgorithm(reader) {
  const element = reader.element(der.SEQUENCE);
  const algorithm = der.whole(element, der.SEQUENCE);
  der.objectIdentifier(algorithm.content(der.OBJECT_IDENTIFIER));
  if (!algorithm.done) algorithm.element();
  algorithm.end();
  return encodeHex(element);
}

/**
 * The key of a SubjectPublicKeyInfo; null for one of another algorithm, which is read no
 * further.
 * @param {Suite} suite
 * @param {Reader} info
 * @returns {Promise<CryptoKey | null>}
 * @throws {MalformedError} not a point of the curve in its one form
 */
export async function readKey(suite, info) {
  const algorithm = readAlgorithm(info);
  const bits = info.content(der.BIT_STRING);
  info.end();
  return algorithm === suite.keys ? importPoint(suite, der.wholeBytes(bits)) : null;
}

/**
 * The key that 04 || x || y is.
 * @param {Suite} suite
 * @param {Bytes} point
 * @throws {MalformedError} not a point of the curve, or in another form
 */
export async function importPoint(suite, point) {
  if (point.length !== 1 + 2 * suite.size || point[0] !== UNCOMPRESSED) {
    throw new MalformedError(`expected an uncompressed point of ${suite.curve}`);
  }
  const algorithm = { name: "ECDSA", namedCurve: suite.curve };
  try {
    return await crypto.subtle.importKey("raw", point, algorithm, false, ["verify"]);
  } catch (error) {
    if (!(error instanceof DOMException) || error.name !== "DataError") throw error;
    throw new MalformedError(`a public key is not a point of ${suite.curve}`);
  }
}

/**
 * A signature as WebCrypto takes it, r || s, from DER.
 * @param {Suite} suite
 * @param {Bytes} signature
 * @returns {Bytes}
 * @throws {MalformedError} not two integers of at most `size` bytes
 */
export function rawSignature({ size }, signature) {
  const reader = der.whole(signature, der.SEQUENCE);
  const raw = new Uint8Array(2 * size);
  for (const end of [size, 2 * size]) {
    const number = der.unsigned(reader.content(der.INTEGER));
    if (number.length > size) {
      throw new MalformedError(`DER: expected a number of at most ${size} bytes`);
    }
    raw.set(number, end - number.length);
  }
  reader.end();
  return raw;
}

/**
 * Whether the holder of `key` signed `data`; with r or s outside 1..n-1 nobody did.
 * @param {Suite} suite the key's own
 * @param {CryptoKey} key
 * @param {Bytes} signature r || s
 * @param {Bytes} data
 */
export async function isSigned({ hash }, key, signature, data) {
  return crypto.subtle.verify({ name: "ECDSA", hash }, key, signature, data);
}
