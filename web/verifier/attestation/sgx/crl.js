/**
 * Lists of revoked certificates (RFC 5280 section 5), of Intel's root and its two CAs
 * (docs/protocol.md 8.7, Revocation).
 *
 *     SEQUENCE {
 *       SEQUENCE {                         what is signed
 *         INTEGER 1                        version 2
 *         SEQUENCE { OID }                 signature algorithm
 *         Name                             issuer
 *         time, time                       thisUpdate, nextUpdate
 *         SEQUENCE OF SEQUENCE {           absent where none is revoked
 *           INTEGER, time, SEQUENCE OF .. }              serial number, since, extensions
 *         [0] SEQUENCE OF SEQUENCE { OID, BOOLEAN?, OCTET STRING }   extensions
 *       }
 *       SEQUENCE { OID }                   signature algorithm, again
 *       BIT STRING                         SEQUENCE { INTEGER r, INTEGER s }
 *     }
 *
 * A list is the issuer's word on all of its certificates, or it is refused: a list of
 * changes, of a part, or of others' certificates has extensions that say so. A certificate
 * that is in the list is revoked, whatever reason and date are given.
 */

import { decodeHex, encodeHex, formatTime, shown } from "../../encoding.js";
import { MalformedError, VerificationError } from "../../errors.js";
import { isIssued } from "../certificates.js";
import * as der from "../der.js";
import * as ecdsa from "../ecdsa.js";
import * as x509 from "../x509.js";

/** @import { Bytes } from "../../encoding.js" */
/** @import { Certificate, Extension } from "../x509.js" */

const VERSION_2 = 1;
/**
 * These two are read, and change nothing, critical or not.
 * @type {ReadonlyMap<string, (value: Bytes) => void>}
 */
const KNOWN = new Map([
  ["2.5.29.20", readNumber],
  ["2.5.29.35", readAuthority],
]);
/**
 * deltaCRLIndicator, issuingDistributionPoint and certificateIssuer: these, critical or
 * not, say that the list is not of all, or not of one issuer.
 */
const PARTIAL = ["2.5.29.27", "2.5.29.28", "2.5.29.29"];

/** A list that can be read. It is not verified. */
export class Crl {
  /** What is read, but for the serial numbers, which `verify` gives. */
  #read;

  /**
   * @param {string} what a name, for messages: "PCK CRL"
   * @param {ReturnType<typeof readList>} read
   */
  constructor(what, read) {
    this.what = what;
    /** Unix seconds, as is `ends`: thisUpdate and nextUpdate. */
    this.begins = read.begins;
    this.ends = read.ends;
    this.#read = read;
  }

  /**
   * The serial numbers that `issuer` revoked, in hex.
   * @param {Certificate} issuer of the CA, known to hold
   * @returns {Promise<ReadonlySet<string>>}
   * @throws {VerificationError} it is not the list of this issuer
   */
  async verify(issuer) {
    const { algorithm, name, serials } = this.#read;
    const called = shown(issuer.commonName);
    if (name !== issuer.plainName) {
      throw new VerificationError(
        `${this.what}: expected the list of ${called}, found another's`,
      );
    }
    if (!issuer.usage?.bits.has(x509.CRL_SIGN)) {
      throw new VerificationError(
        `${this.what}: the certificate of ${called} is not for CRLs`,
      );
    }
    const { signatures, signed } = issuer.suite;
    if (algorithm !== signatures) {
      throw new VerificationError(`${this.what}: expected ${signed}, found another`);
    }
    if (!(await isIssued(this.#read, issuer))) {
      throw new VerificationError(
        `${this.what}: it is not signed by the key of ${called}`,
      );
    }
    return serials;
  }
}

/**
 * A list, in hex of its DER.
 * @param {string} text
 * @param {string} what its name, for messages
 * @returns {Crl}
 * @throws {MalformedError} it is not one of all of an issuer's certificates
 */
export function parse(text, what) {
  let read;
  try {
    read = readList(decodeHex(text));
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new MalformedError(`${what}: not a readable CRL: ${error.message}`);
  }
  const { begins, ends } = read;
  if (begins > ends) {
    const [after, found] = [formatTime(begins), formatTime(ends)];
    throw new MalformedError(
      `${what}: expected a nextUpdate after ${after}, found ${found}`,
    );
  }
  return new Crl(what, read);
}

/** @param {Bytes} data */
function readList(data) {
  const outer = der.whole(data, der.SEQUENCE);
  const signed = outer.element(der.SEQUENCE);
  const outerAlgorithm = ecdsa.readAlgorithm(outer);
  const signature = der.wholeBytes(outer.content(der.BIT_STRING));
  outer.end();
  const reader = der.whole(signed, der.SEQUENCE);
  const version = der.unsigned(reader.content(der.INTEGER));
  if (version.length !== 1 || version[0] !== VERSION_2) {
    throw new MalformedError("expected version 2");
  }
  const algorithm = ecdsa.readAlgorithm(reader);
  if (algorithm !== outerAlgorithm) {
    throw new MalformedError("expected one signature algorithm, found two");
  }
  const { plain: name } = x509.readName(reader.element(der.SEQUENCE));
  if (name === null) throw new MalformedError("its issuer's name");
  const begins = der.time(reader);
  const ends = der.time(reader);
  /** @type {Set<string>} */
  const serials = new Set();
  if (reader.has(der.SEQUENCE)) {
    const list = reader.enter(der.SEQUENCE);
    do serials.add(readEntry(list.enter(der.SEQUENCE)));
    while (!list.done);
  }
  if (!reader.done) requireWhole(x509.readExtensions(reader, der.explicit(0)));
  reader.end();
  return { signed, algorithm, signature, name, begins, ends, serials };
}

/** @param {der.Reader} entry */
function readEntry(entry) {
  const serial = readSerial(entry);
  der.time(entry);
  if (!entry.done) requireWhole(x509.readExtensions(entry));
  entry.end();
  return serial;
}

/**
 * A serial number, as a certificate's is in hex. One below zero is no certificate's that
 * is read here: RFC 5280 asks for patience with those who made such.
 * @param {der.Reader} entry
 */
function readSerial(entry) {
  const content = entry.content(der.INTEGER);
  const [first = 0, second = 0] = content;
  if (first < 0x80) return encodeHex(der.unsigned(content));
  if (first === 0xff && second >= 0x80) {
    throw new MalformedError("DER: an integer longer than need be");
  }
  return `-${encodeHex(content)}`;
}

/** @param {ReadonlyMap<string, Extension>} extensions */
function requireWhole(extensions) {
  for (const { name, critical, value } of extensions.values()) {
    const read = KNOWN.get(name);
    if (PARTIAL.includes(name) || (critical && read === undefined)) {
      throw new MalformedError(
        `a list of all, without extension ${name}, was expected`,
      );
    }
    read?.(value);
  }
}

/**
 * cRLNumber: an INTEGER.
 * @param {Bytes} value
 */
function readNumber(value) {
  const reader = new der.Reader(value);
  der.unsigned(reader.content(der.INTEGER));
  reader.end();
}

/**
 * authorityKeyIdentifier: [0] of the key; [1] and [2] of its certificate, or neither.
 * @param {Bytes} value
 */
function readAuthority(value) {
  const reader = der.whole(value, der.SEQUENCE);
  if (reader.has(0x80)) reader.content(0x80);
  if (!reader.done) {
    reader.content(0xa1);
    reader.content(0x82);
  }
  reader.end();
}
