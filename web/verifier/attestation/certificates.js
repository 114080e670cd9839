/**
 * The one path of certificates from a trusted root to a leaf, strictly.
 *
 * The makers of hardware keep to narrow profiles: one curve, one hash, few extensions. A
 * `Suite` (ecdsa.js) says which, and x509.js reads the certificates. `verifyPath` then
 * demands, at the time it is given (docs/protocol.md 8.4):
 *
 * 1.  Every certificate, the root too, has a key of the suite's curve and is signed with
 *     the suite's algorithm.
 * 2.  Signatures and names link up, every certificate is valid at the time (the bounds
 *     are included, and so is the root), path lengths hold. basicConstraints and
 *     keyUsage are known; no other extension is critical.
 * 3.  A CA, and the root is one, says so: basicConstraints CA and keyUsage keyCertSign,
 *     both critical.
 * 4.  The leaf is none: basicConstraints not CA, keyUsage digitalSignature and not
 *     keyCertSign.
 * 5.  The path is all of the certificates, in the order given.
 *
 * No path is searched for: there is only the one that is shown. So that it is the only
 * one, root and CAs all have different names; a second path, around one of them, would
 * need an issuer that has the name of another (the rest of 5). For the same reason no CA
 * issues itself, and each counts for a path length.
 */

import { encodeHex, equalBytes, formatTime, sha256, shown } from "../encoding.js";
import { MalformedError, UsageError, VerificationError } from "../errors.js";
import { isSigned, rawSignature } from "./ecdsa.js";
import * as x509 from "./x509.js";

/** @import { Bytes } from "../encoding.js" */
/** @import { Suite } from "./ecdsa.js" */
/** @import { Certificate } from "./x509.js" */

/**
 * What a path proves about the holder of the leaf's key.
 * @typedef {object} VerifiedLeaf
 * @property {string} commonName of the subject; empty if none can be read
 * @property {number} notBefore unix seconds; valid at this and at `notAfter`
 * @property {number} notAfter
 * @property {string} rootSha256 of the DER of the trusted root that the path begins with
 */

/** CAs between root and leaf, at most. */
export const CAS = 3;

/**
 * What the path `root`, `cas`, `leaf` proves at `time`.
 * @param {Bytes} root DER, trusted
 * @param {readonly Certificate[]} cas at most `CAS`, in the order of issue
 * @param {Certificate} leaf
 * @param {number} time unix seconds
 * @param {Suite} suite
 * @returns {Promise<VerifiedLeaf>}
 * @throws {VerificationError} one of the checks 1 to 5 fails
 * @throws {UsageError} the trusted root itself is not a readable certificate
 */
export async function verifyPath(root, cas, leaf, time, suite) {
  const issuers = [await anchor(suite, root), ...cas];
  const path = [...issuers, leaf];
  path.forEach(requireAlgorithms); // 1
  path.forEach(requireKnown); // 2
  try {
    for (const certificate of path) requireValid(certificate, time); // 2
    for (const [place, ca] of issuers.entries()) {
      requireCa(ca, cas.length - place); // 2, 3
      await requireIssued(/** @type {Certificate} */ (path[place + 1]), ca); // 2
    }
    requireLeaf(leaf); // 4
    requireDifferentNames(issuers); // 5
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    const message = `the chain does not hold at ${formatTime(time)}: ${error.message}`;
    throw new VerificationError(message);
  }
  return {
    commonName: leaf.commonName,
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    rootSha256: encodeHex(await sha256(root)),
  };
}

/**
 * A trusted root, ready for use.
 * @param {Suite} suite
 * @param {Bytes} root DER
 * @returns {Promise<Certificate>}
 * @throws {UsageError} it is not a readable certificate
 */
export async function anchor(suite, root) {
  try {
    return await x509.read(suite, root);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new UsageError(`a trusted root is of no use: ${error.message}`);
  }
}

/**
 * The key of a certificate, if it is one of the algorithm that it was read for.
 * @param {Certificate} certificate
 * @throws {VerificationError} another algorithm, or another curve
 */
export function keyOf({ key, suite }) {
  if (key === null) {
    throw new VerificationError(
      `expected a ${suite.curve} key, found another in a certificate`,
    );
  }
  return key;
}

/**
 * @param {Certificate} certificate
 * @throws {VerificationError} another key, or signed in another way
 */
export function requireAlgorithms(certificate) {
  keyOf(certificate);
  const { signatures, signed } = certificate.suite;
  if (certificate.algorithms.some((algorithm) => algorithm !== signatures)) {
    throw new VerificationError(`expected a certificate signed with ${signed}`);
  }
}

/** @param {Certificate} certificate */
function requireKnown({ unknownCritical: [unknown] }) {
  if (unknown !== undefined) {
    throw new VerificationError(
      `a certificate has a critical extension that is not known: ${unknown}`,
    );
  }
}

/**
 * @param {Certificate} certificate
 * @param {number} time
 */
function requireValid({ notBefore, notAfter, commonName }, time) {
  if (time < notBefore || time > notAfter) {
    const valid = `${formatTime(notBefore)} to ${formatTime(notAfter)}`;
    throw new VerificationError(
      `the certificate of ${shown(commonName)} is valid from ${valid}`,
    );
  }
}

/**
 * @param {Certificate} ca
 * @param {number} below how many CAs are between it and the leaf
 */
function requireCa({ constraints, usage }, below) {
  if (!constraints?.ca || !constraints.critical) {
    throw new VerificationError("a CA without critical basicConstraints that say so");
  }
  if (!usage?.bits.has(x509.KEY_CERT_SIGN) || !usage.critical) {
    throw new VerificationError("a CA without critical keyUsage that has keyCertSign");
  }
  if (constraints.pathLength !== null && below > constraints.pathLength) {
    const most = constraints.pathLength;
    throw new VerificationError(
      `a CA with ${below} CAs below it, which allows ${most}`,
    );
  }
}

/** @param {Certificate} leaf */
function requireLeaf({ constraints, usage }) {
  if (constraints === null || constraints.ca) {
    throw new VerificationError("a leaf without basicConstraints that say it is no CA");
  }
  if (!usage?.bits.has(x509.DIGITAL_SIGNATURE) || usage.bits.has(x509.KEY_CERT_SIGN)) {
    throw new VerificationError("a leaf with keyCertSign, or without digitalSignature");
  }
}

/**
 * @param {Certificate} certificate
 * @param {Certificate} issuer
 */
async function requireIssued(certificate, issuer) {
  if (!equalBytes(certificate.issuer, issuer.subject)) {
    throw new VerificationError(
      "the issuer that a certificate names is not the one above",
    );
  }
  if (!(await isIssued(certificate, issuer))) {
    throw new VerificationError(
      "a certificate is not signed by the key of the one above",
    );
  }
}

/**
 * Whether a certificate, or what else is signed as one is, is signed by `issuer`.
 * @param {{ signed: Bytes, signature: Bytes }} what
 * @param {Certificate} issuer
 */
export async function isIssued({ signed, signature }, issuer) {
  let raw;
  try {
    raw = rawSignature(issuer.suite, signature);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    return false;
  }
  return isSigned(issuer.suite, keyOf(issuer), raw, signed);
}

/** @param {Certificate[]} cas */
function requireDifferentNames(cas) {
  if (new Set(cas.map(({ subject }) => encodeHex(subject))).size !== cas.length) {
    throw new VerificationError("two CAs have one name: the path is not the only one");
  }
}
