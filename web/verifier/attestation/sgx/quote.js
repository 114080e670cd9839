/**
 * The quote of an SGX enclave, version 3, signed with ECDSA (docs/protocol.md 8.6).
 *
 *     0     48  header         2 version, 3; 2 kind of key, 2 (ECDSA, P-256); 4 zero;
 *                              2 SVN of QE, 2 of PCE; 16 vendor of QE; 20 user data: 16
 *                              the QE's ID, 4 zero
 *     48   384  report         of the enclave
 *     432    4  size           of all that follows
 *     436   64  signature      r || s, by the key below, over the first 432 bytes
 *     500   64  key            x || y: the attestation key
 *     564  384  report         of the quoting enclave (QE), which made that key
 *     948   64  signature      r || s, by the PCK, over the QE's report
 *     1012   2  size, and the QE's authentication data
 *     ...  2+4  kind, size, and the certification data: 5 is the chain of the PCK, in PEM
 *
 * and a report, of either enclave:
 *
 *     0     16  CPUSVN                     128   32  MRSIGNER
 *     16     4  MISCSELECT                 160   96  zero (with KSS: its 192.. CONFIGID)
 *     20    28  zero (with KSS: family)    256    2  ISVPRODID
 *     48    16  ATTRIBUTES                 258    2  ISVSVN
 *     64    32  MRENCLAVE                  260   60  zero (with KSS: CONFIGSVN, product)
 *     96    32  zero                       320   64  REPORT DATA, the enclave's to choose
 *
 * Numbers are little-endian, but for those in signatures and keys. Every size fits, every
 * zero is one. An enclave with an identity by KSS, which its host chooses and which no
 * measurement covers, is refused.
 *
 * What may stand before it, wrapping.js takes away; after it stands what its application
 * likes to add. Neither is signed; `Quote` says what there was.
 */

import { copyBytes, decodeLatin1, encodeHex, joinBytes } from "../../encoding.js";
import { MalformedError, VerificationError } from "../../errors.js";
import * as limits from "../../limits.js";
import { ES256, importPoint, isSigned } from "../ecdsa.js";
import * as pem from "./pem.js";
import * as wrapping from "./wrapping.js";
import { littleEndian } from "./wrapping.js";

/** @import { Bytes } from "../../encoding.js" */

/**
 * What the processor says of an enclave.
 * @typedef {object} Report
 * @property {Bytes} cpusvn
 * @property {Bytes} miscselect
 * @property {Bytes} attributes 16 bytes: flags, then XFRM
 * @property {bigint} flags the first half of the attributes, as a number
 * @property {Bytes} mrenclave
 * @property {Bytes} mrsigner
 * @property {number} isvProdId
 * @property {number} isvSvn
 * @property {Bytes} reportData
 * @property {Bytes} raw all 384
 */
/**
 * A quote of the right form. Nothing in it is verified.
 * @typedef {object} Quote
 * @property {Bytes} signed header and report, as the attestation key signed them
 * @property {number} qeSvn
 * @property {Bytes} qeId
 * @property {Report} report
 * @property {Bytes} signature
 * @property {Bytes} attestationKey x || y
 * @property {CryptoKey} key the same
 * @property {Report} qeReport
 * @property {Bytes} qeSignature
 * @property {Bytes} authentication
 * @property {number} certification the kind of the certification data
 * @property {readonly Bytes[]} certificates DER, as yet unread; none if the kind is not
 *   `PCK_CHAIN`
 * @property {string} wrapping what stands before the quote, in words; empty for nothing
 * @property {Bytes} trailing what stands after it
 */

/** Version 3, ECDSA on P-256, no TEE type (SGX). */
const BEGINS = "0300020000000000";
/** Intel. */
const QE_VENDOR = "939a7233f79c4ca9940a0db3957f0607";
/** MRSIGNER of Intel's quoting enclaves for SGX, of all versions so far. */
export const QE_SIGNER =
  "8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff";
export const QE_PROD_ID = 1;
const HEADER = 48;
const REPORT = 384;
export const SIGNATURE = 64;
const KEY = 64;
/** Bytes that the attestation key signs. */
const SIGNED = HEADER + REPORT;
/** Bytes after the quote, at most; 39 to 70 have been seen. */
const TRAILING = 4_096;
/** The kind of certification data that is certificates in PEM. */
export const PCK_CHAIN = 5;
/** Flags: the first eight bytes of ATTRIBUTES. */
export const INIT = 0x01n;
export const DEBUG = 0x02n;
export const MODE64 = 0x04n;
export const PROVISION = 0x10n;
export const EINITTOKEN = 0x20n;
export const KSS = 0x80n;

/**
 * Where a report holds nothing, unless it has KSS.
 * @type {readonly (readonly [number, number])[]}
 */
const ZERO = [
  [20, 48],
  [96, 128],
  [160, 256],
  [260, 320],
];
const UNCOMPRESSED = Uint8Array.of(4);

/**
 * The quote in `given`, bare or wrapped.
 * @param {Bytes} given
 * @returns {Promise<Quote>}
 * @throws {MalformedError} not of the form above
 */
export async function parse(given) {
  if (given.length > limits.ATTESTATION) {
    const expected = `at most ${limits.ATTESTATION} bytes`;
    throw malformed(`${given.length} bytes`, "quote", expected);
  }
  const { rest, size, before } = wrapping.remove(copyBytes(given));
  const header = rest.subarray(0, HEADER);
  requireHex(header.subarray(0, 8), BEGINS, "header");
  requireHex(header.subarray(12, 28), QE_VENDOR, "vendor of QE");
  requireHex(header.subarray(44), "00000000", "end of header");
  const report = parseReport(rest.subarray(HEADER, SIGNED), "report");
  const parts = new Reader(rest.subarray(SIGNED));
  const data = new Reader(parts.sized(4, "signature data"));
  const trailing = parts.rest();
  if (size < BigInt(rest.length - trailing.length)) {
    throw malformed(`${size}`, wrapping.REPORT_HEADER, "a size that holds the quote");
  }
  if (trailing.length > TRAILING) {
    const expected = `at most ${TRAILING} bytes`;
    throw malformed(`${trailing.length} bytes`, "after the quote", expected);
  }
  const signature = data.take(SIGNATURE, "signature");
  const attestationKey = data.take(KEY, "attestation key");
  const key = await importPoint(ES256, joinBytes(UNCOMPRESSED, attestationKey));
  const qeReport = parseReport(data.take(REPORT, "QE report"), "QE report");
  const qeSignature = data.take(SIGNATURE, "QE signature");
  const authentication = data.sized(2, "authentication data");
  const certification = Number(littleEndian(data.take(2, "kind of certification")));
  const certified = data.sized(4, "certification data");
  const left = data.rest().length;
  if (left > 0) throw malformed(`${left} bytes more`, "signature data", "its end");
  return {
    signed: rest.subarray(0, SIGNED),
    qeSvn: Number(littleEndian(header.subarray(8, 10))),
    qeId: header.subarray(28, 44),
    report,
    signature,
    attestationKey,
    key,
    qeReport,
    qeSignature,
    authentication,
    certification,
    certificates: certification === PCK_CHAIN ? readCertificates(certified) : [],
    wrapping: before,
    trailing,
  };
}

/**
 * A report of 384 bytes.
 * @param {Bytes} raw
 * @param {string} what it is called in errors
 * @returns {Report}
 * @throws {MalformedError} another length, or something where nothing is to be
 */
export function parseReport(raw, what) {
  if (raw.length !== REPORT) {
    throw malformed(`${raw.length} bytes`, what, `${REPORT} bytes`);
  }
  for (const [begin, end] of ZERO) {
    const part = raw.subarray(begin, end);
    if (part.some((byte) => byte !== 0)) {
      const expected = `zero from byte ${begin} to ${end} (KSS is not supported)`;
      throw malformed(encodeHex(part), what, expected);
    }
  }
  const attributes = raw.subarray(48, 64);
  const flags = littleEndian(attributes.subarray(0, 8));
  if ((flags & INIT) === 0n) {
    const expected = "the flag INIT, which every enclave that runs has";
    throw malformed(`attributes ${encodeHex(attributes)}`, what, expected);
  }
  return {
    cpusvn: raw.subarray(0, 16),
    miscselect: raw.subarray(16, 20),
    attributes,
    flags,
    mrenclave: raw.subarray(64, 96),
    mrsigner: raw.subarray(128, 160),
    isvProdId: Number(littleEndian(raw.subarray(256, 258))),
    isvSvn: Number(littleEndian(raw.subarray(258, 260))),
    reportData: raw.subarray(320),
    raw,
  };
}

/**
 * Require that `key` (P-256) made `signature` over `signed`.
 * @param {CryptoKey} key
 * @param {Bytes} signature r || s, big-endian
 * @param {Bytes} signed
 * @param {string} failure the message, if it did not, or r or s is not in 1..n-1
 * @throws {VerificationError} it did not
 */
export async function verifySignature(key, signature, signed, failure) {
  if (!(await isSigned(ES256, key, signature, signed))) {
    throw new VerificationError(failure);
  }
}

/** Takes bytes from the front, as many as a size says. */
class Reader {
  #data;
  #at = 0;

  /** @param {Bytes} data */
  constructor(data) {
    this.#data = data;
  }

  /**
   * @param {number} size
   * @param {string} what
   */
  take(size, what) {
    const part = this.#data.subarray(this.#at, this.#at + size);
    if (part.length !== size) {
      throw malformed(`${part.length} bytes`, what, `${size} bytes`);
    }
    this.#at += size;
    return part;
  }

  /**
   * What the number at the front says is the size of.
   * @param {number} bytes of that number
   * @param {string} what
   */
  sized(bytes, what) {
    return this.take(Number(littleEndian(this.take(bytes, `size of ${what}`))), what);
  }

  rest() {
    return this.#data.subarray(this.#at);
  }
}

/** @param {Bytes} data */
function readCertificates(data) {
  // Intel's library counts the NUL that ends a string in C.
  const text = data.at(-1) === 0 ? data.subarray(0, -1) : data;
  if (text.some((byte) => byte > 0x7f)) {
    throw malformed("other than ASCII", "certification data", "certificates in PEM");
  }
  return pem.read(decodeLatin1(text));
}

/**
 * @param {Bytes} found
 * @param {string} expected
 * @param {string} what
 */
function requireHex(found, expected, what) {
  const digits = encodeHex(found);
  if (digits !== expected) throw malformed(digits, what, expected);
}

/**
 * @param {string} found
 * @param {string} what
 * @param {string} expected
 */
function malformed(found, what, expected) {
  return new MalformedError(`SGX quote, ${what}: expected ${expected}, found ${found}`);
}
