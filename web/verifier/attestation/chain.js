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
 * 1.  The root is one of ours. From here on ours is used; the document's is forgotten.
 * 2.  There are at most three CAs.
 * 3.  Root, CAs and leaf, in this order, are a path of certificates with P-384 keys,
 *     signed with ecdsa-with-SHA384 (certificates.js, its checks 1 to 5).
 *
 * Not checked: revocation. AWS tells verifiers to leave CRLs alone.
 */

import { encodeHex, equalBytes, sha256 } from "../encoding.js";
import { MalformedError, VerificationError } from "../errors.js";
import { CAS, verifyPath } from "./certificates.js";
import { ES384 } from "./ecdsa.js";
import * as x509 from "./x509.js";

/** @import { Bytes } from "../encoding.js" */
/** @import { VerifiedLeaf } from "./certificates.js" */
/** @import { Certificate } from "./x509.js" */

/**
 * A chain as found in a document: readable, and nothing more.
 * @typedef {object} Chain
 * @property {Bytes} root DER; only ever compared, so it is not read
 * @property {Certificate[]} cas
 * @property {Certificate} leaf
 */

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
    cas: await Promise.all(cas.map((der) => x509.read(ES384, der))),
    leaf: await x509.read(ES384, certificate),
  };
}

/**
 * What `chain` proves, if it holds under one of `roots` at `time`.
 * @param {Chain} chain
 * @param {readonly Bytes[]} roots DER
 * @param {number} time unix seconds
 * @returns {Promise<VerifiedLeaf>}
 * @throws {VerificationError} one of the checks 1 to 3 fails
 * @throws {UsageError} the trusted root itself is not a readable certificate
 */
export async function verify({ root, cas, leaf }, roots, time) {
  if (!roots.some((one) => equalBytes(one, root))) {
    const [found, ...wanted] = await Promise.all(
      [root, ...roots].map(async (one) => encodeHex(await sha256(one))),
    );
    throw new VerificationError(
      `the chain ends in the root with SHA-256 ${found}, trusted: ${wanted.join(", ") || "none"}`,
    ); // 1
  }
  if (cas.length > CAS) {
    throw new VerificationError(
      `expected at most ${CAS} CAs below the root, found ${cas.length}`,
    ); // 2
  }
  return verifyPath(root, cas, leaf, time, ES384); // 3
}
