/**
 * The X.509 chain of a Nitro document: a root, up to three CAs, a leaf.
 *
 *     cabundle[0]     root    equal to a trusted root, byte for byte
 *     cabundle[1..]   CAs     in the order of issue
 *     certificate     leaf    its key signs the document
 *
 * `load` reads the DER. `verify` then demands, at the time it is given (docs/protocol.md
 * 8.4):
 *
 * 1.  The root is one of ours. From here on ours is used.
 * 2.  There are at most three CAs.
 * 3.  Every certificate, the root too, has a P-384 key and is signed with
 *     ecdsa-with-SHA384.
 * 4.  Signatures and names link up, every certificate is valid at the time (the bounds
 *     are included, and so is the root), path lengths hold. basicConstraints and
 *     keyUsage are known; no other extension is critical.
 * 5.  A CA, and the root is one, says so: basicConstraints CA and keyUsage keyCertSign,
 *     both critical.
 * 6.  The leaf is none: basicConstraints not CA, keyUsage digitalSignature and not
 *     keyCertSign.
 * 7.  The path uses all certificates of the document, in the order given.
 *
 * No path is searched for: there is only the one that the document shows. So that it is
 * the only one, root and CAs all have different names; a second path, around one of
 * them, would need an issuer that has the name of another (the rest of 7). For the same
 * reason no CA issues itself, and each counts for a path length.
 *
 * Not checked: revocation. AWS tells verifiers to leave CRLs alone.
 */

import { encodeHex, equalBytes, formatTime, sha256, shown } from "../encoding.js";
import { MalformedError, UsageError, VerificationError } from "../errors.js";
import { verifyEs384 } from "./cose.js";
import * as x509 from "./x509.js";

/** @import { Bytes } from "../encoding.js" */
/** @import { Certificate } from "./x509.js" */

/**
 * A chain as found in a document: readable, and nothing more.
 * @typedef {object} Chain
 * @property {Bytes} root DER; only ever compared, so it is not read
 * @property {Certificate[]} cas
 * @property {Certificate} leaf
 */

/**
 * What a chain proves about the holder of the leaf's key.
 * @typedef {object} VerifiedLeaf
 * @property {string} commonName of the subject; empty if none can be read
 * @property {number} notBefore unix seconds; valid at this and at `notAfter`
 * @property {number} notAfter
 * @property {string} rootSha256 of the DER of the trusted root that the chain ends in
 */

/** CAs between root and leaf, at most. */
const CAS = 3;
/** A SEQUENCE of the OBJECT IDENTIFIER alone: 1.2.840.10045.4.3.3. */
const ECDSA_WITH_SHA384 = "300a06082a8648ce3d040303";

/**
 * Read the certificates of a document.
 * @param {Bytes[]} cabundle at least the root
 * @param {Bytes} certificate
 * @returns {Promise<Chain>}
 * @throws {MalformedError} one is not a certificate in DER, or has bytes after it
 */
export async function load(cabundle, certificate) {
  const [root, ...cas] = cabundle;
  if (root === undefined) throw new MalformedError("expected a root in the cabundle");
  return {
    root,
    cas: await Promise.all(cas.map(x509.read)),
    leaf: await x509.read(certificate),
  };
}

/**
 * What `chain` proves, if it holds under one of `roots` at `time`.
 * @param {Chain} chain
 * @param {Bytes[]} roots DER
 * @param {number} time unix seconds
 * @returns {Promise<VerifiedLeaf>}
 * @throws {VerificationError} one of the checks 1 to 7 fails
 * @throws {UsageError} the trusted root itself is not a readable certificate
 */
export async function verify(chain, roots, time) {
  const root = await trusted(chain.root, roots); // 1
  if (chain.cas.length > CAS) {
    const found = chain.cas.length;
    throw new VerificationError(
      `expected at most ${CAS} CAs below the root, found ${found}`,
    ); // 2
  }
  const path = [root, ...chain.cas, chain.leaf];
  path.forEach(requireUsable); // 3, and the end of 4
  try {
    for (const certificate of path) requireValid(certificate, time); // 4
    for (const [place, ca] of path.slice(0, -1).entries()) {
      requireCa(ca, chain.cas.length - place); // 4, 5
      await requireIssued(/** @type {Certificate} */ (path[place + 1]), ca); // 4
    }
    requireLeaf(chain.leaf); // 6
    requireDifferentNames([root, ...chain.cas]); // 7
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    const message = `the chain does not hold at ${formatTime(time)}: ${error.message}`;
    throw new VerificationError(message);
  }
  return {
    commonName: chain.leaf.commonName,
    notBefore: chain.leaf.notBefore,
    notAfter: chain.leaf.notAfter,
    rootSha256: encodeHex(await sha256(chain.root)),
  };
}

/**
 * The root, which is one of ours.
 * @param {Bytes} root
 * @param {Bytes[]} roots
 */
async function trusted(root, roots) {
  const ours = roots.find((one) => equalBytes(one, root));
  if (ours === undefined) {
    const [found, ...wanted] = await Promise.all(
      [root, ...roots].map(async (one) => encodeHex(await sha256(one))),
    );
    throw new VerificationError(
      `the chain ends in the root with SHA-256 ${found}, trusted: ${wanted.join(", ") || "none"}`,
    );
  }
  try {
    return await x509.read(ours);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new UsageError(`a trusted root is of no use: ${error.message}`);
  }
}

/**
 * The key of a certificate, if it is one for ES384.
 * @param {Certificate} certificate
 * @throws {VerificationError} another algorithm, or another curve than P-384
 */
export function keyOf(certificate) {
  if (certificate.key === null) {
    throw new VerificationError("expected a P-384 key, found another in a certificate");
  }
  return certificate.key;
}

/** @param {Certificate} certificate */
function requireUsable(certificate) {
  keyOf(certificate);
  if (certificate.algorithms.some((algorithm) => algorithm !== ECDSA_WITH_SHA384)) {
    throw new VerificationError("expected a certificate signed with ecdsa-with-SHA384");
  }
  const [unknown] = certificate.unknownCritical;
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
  let signature;
  try {
    signature = x509.rawSignature(certificate.signature);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new VerificationError(`a certificate's signature: ${error.message}`);
  }
  if (!(await verifyEs384(keyOf(issuer), signature, certificate.signed))) {
    throw new VerificationError(
      "a certificate is not signed by the key of the one above",
    );
  }
}

/** @param {Certificate[]} cas */
function requireDifferentNames(cas) {
  if (new Set(cas.map(({ subject }) => encodeHex(subject))).size !== cas.length) {
    throw new VerificationError("two CAs have one name: the path is not the only one");
  }
}
