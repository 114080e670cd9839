/**
 * COSE_Sign1 (RFC 9052 section 4.2) with ES384: the envelope of Nitro documents.
 *
 *     [protected: bytes, unprotected: map, payload: bytes, signature: bytes]
 *
 * AWS writes the array untagged; tag 18 (one byte, d2) may stand before it. `protected`
 * holds exactly {1: -35}, which is to say that alg is ES384. `unprotected` is not
 * signed: it must be a map and is then ignored. `signature` is r || s, each 48 bytes,
 * big-endian, made with SHA-384 and a P-384 key over
 *
 *     ["Signature1", protected, b"", payload]
 *
 * in definite lengths. Both a low and a high s are valid, so a document has more than
 * one spelling, and its hash does not identify it (docs/protocol.md 8.1).
 */

import { encodeHex, joinBytes } from "../encoding.js";
import { MalformedError, VerificationError } from "../errors.js";
import { decode, encodeArrayHead, encodeString } from "./cbor.js";
import { ES384, isSigned } from "./ecdsa.js";

/** @import { Bytes } from "../encoding.js" */

/**
 * The parts of a COSE_Sign1 that count; nothing about them is verified.
 * @typedef {object} Sign1
 * @property {Bytes} protected
 * @property {Bytes} payload
 * @property {Bytes} signature r || s
 */

/** Tag 18, COSE_Sign1. */
const TAG = 0xd2;
/** alg (1) is ES384 (-35): RFC 9053 section 2.1. */
const ALG = 1n;
const ALG_ES384 = -35n;
const SIGNATURE = 96;

/**
 * Take a COSE_Sign1 apart.
 * @param {Bytes} data
 * @returns {Sign1}
 * @throws {MalformedError} not a COSE_Sign1, or not one made for ES384
 */
export function parse(data) {
  const parts = decode(data, data[0] === TAG ? 1 : 0);
  const [header, unprotected, payload, signature] = Array.isArray(parts) ? parts : [];
  if (
    !Array.isArray(parts) ||
    parts.length !== 4 ||
    !(header instanceof Uint8Array) ||
    !(unprotected instanceof Map) ||
    !(payload instanceof Uint8Array) ||
    !(signature instanceof Uint8Array)
  ) {
    throw new MalformedError(
      "COSE_Sign1: expected an array of bytes, map, bytes, bytes",
    );
  }
  const told = decode(header);
  if (!(told instanceof Map) || told.size !== 1 || told.get(ALG) !== ALG_ES384) {
    const found = encodeHex(header.subarray(0, 32));
    throw new MalformedError(
      `COSE protected header: expected {1: -35}, found ${found}`,
    );
  }
  if (signature.length !== SIGNATURE) {
    const found = signature.length;
    throw new MalformedError(
      `COSE signature: expected ${SIGNATURE} bytes, found ${found}`,
    );
  }
  return { protected: header, payload, signature };
}

/**
 * The bytes that are signed (RFC 9052 section 4.4).
 * @param {Sign1} sign1
 */
export function sigStructure(sign1) {
  return joinBytes(
    encodeArrayHead(4),
    encodeString("Signature1"),
    encodeString(sign1.protected),
    encodeString(new Uint8Array()),
    encodeString(sign1.payload),
  );
}

/**
 * The payload, now known to be signed by the holder of `key`.
 * @param {Sign1} sign1
 * @param {CryptoKey} key ECDSA on P-384: the curve is given, never chosen by what is signed
 * @returns {Promise<Bytes>}
 * @throws {VerificationError} it is not; with r or s outside 1..n-1 it is not
 */
export async function verify(sign1, key) {
  if (!(await isSigned(ES384, key, sign1.signature, sigStructure(sign1)))) {
    throw new VerificationError(
      "the COSE signature is not by the key of the document's certificate",
    );
  }
  return sign1.payload;
}
