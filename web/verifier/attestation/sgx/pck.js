/**
 * The PCK certificate: which machine vouches for a quote, and what Intel says it is.
 *
 *     Intel SGX Root CA                       trusted, by its key
 *       Intel SGX PCK Platform CA             or Processor CA
 *         Intel SGX PCK Certificate           its key signs the quoting enclave's report
 *       Intel SGX TCB Signing                 signs collateral; the same rules, no CA
 *
 * Three certificates, P-256 and ecdsa-with-SHA256, in any order: one genuine quote has the
 * root in the middle. The root among them is only a copy. Two certificates carry Intel's
 * key, and quotes still have the older one, so the copy has to be of a trusted root's name
 * and key, and signed by it; from there on the trusted one is used (docs/protocol.md
 * 8.6, Chain).
 */

import { encodeHex, equalBytes, sha256, shown } from "../../encoding.js";
import { MalformedError, VerificationError } from "../../errors.js";
import {
  anchor,
  isIssued,
  keyOf,
  requireAlgorithms,
  verifyPath as verifyOrdered,
} from "../certificates.js";
import { ES256 } from "../ecdsa.js";
import * as x509 from "../x509.js";
import * as extension from "./extension.js";

/** @import { Bytes } from "../../encoding.js" */
/** @import { VerifiedLeaf } from "../certificates.js" */
/** @import { Certificate } from "../x509.js" */
/** @import { Machine } from "./extension.js" */

/**
 * Certificates that hold: under a trusted root, each for what it is used for.
 * @typedef {object} Path
 * @property {Certificate} leaf
 * @property {readonly Certificate[]} cas
 * @property {Certificate} root the trusted one, not the copy that came along
 * @property {Bytes} rootDer
 * @property {VerifiedLeaf} proved
 */
/**
 * A machine, by the certificate that Intel made for its provisioning key.
 * @typedef {object} PckParts
 * @property {Certificate} leaf
 * @property {Certificate} issuer
 * @property {Certificate} root the trusted one
 * @property {Bytes} rootDer
 * @property {string} rootSha256 of its DER
 * @property {number} notBefore unix seconds, as is `notAfter`
 * @property {number} notAfter
 */
/** @typedef {Machine & PckParts} Pck */

const ISSUERS = ["Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"];

/**
 * The machine that `certificates` are about: PCK, its CA, the root's copy.
 * @param {readonly Bytes[]} certificates DER, in any order
 * @param {readonly Bytes[]} roots trusted, DER
 * @param {number} now unix seconds; all are valid then
 * @returns {Promise<Pck>}
 * @throws {VerificationError} they are not such a chain under one of `roots`
 * @throws {UsageError} the trusted root is not a usable certificate
 */
export async function verify(certificates, roots, now) {
  const { leaf, cas, root, rootDer, proved } = await verifyPath(
    await readAll(certificates),
    roots,
    now,
    { cas: 1 },
  );
  const issuer = /** @type {Certificate} */ (cas[0]);
  if (!ISSUERS.includes(issuer.commonName)) {
    const found = shown(issuer.commonName);
    throw new VerificationError(
      `expected a PCK certificate by ${ISSUERS.join(" or ")}, not ${found}`,
    );
  }
  return {
    ...machineOf(leaf),
    leaf,
    issuer,
    root,
    rootDer,
    rootSha256: proved.rootSha256,
    notBefore: proved.notBefore,
    notAfter: proved.notAfter,
  };
}

/**
 * Leaf, `cas` CAs (none or one) and a copy of the root, in any order, as a path.
 * @param {readonly Certificate[]} certificates
 * @param {readonly Bytes[]} roots trusted, DER
 * @param {number} now unix seconds
 * @param {{ cas: number }} options
 * @returns {Promise<Path>}
 * @throws {VerificationError} too many or too few, of another root, or the path
 *   does not hold at `now` (certificates.js, its checks 1 to 5)
 * @throws {UsageError} the trusted root is not a usable certificate
 */
export async function verifyPath(certificates, roots, now, { cas }) {
  if (certificates.length !== cas + 2) {
    const found = certificates.length;
    throw new VerificationError(`expected ${cas + 2} certificates, found ${found}`);
  }
  certificates.forEach(keyOf);
  const { root, rootDer, copy } = await rootOf(certificates, roots);
  await requireCopy(copy, root);
  const others = certificates.filter((one) => one !== copy);
  // The leaf last; that it is one, and the CA a CA, is part of what follows.
  const ordered = [...others.filter(isCa), ...others.filter((one) => !isCa(one))];
  const leaf = /** @type {Certificate} */ (ordered.at(-1));
  const above = ordered.slice(0, -1);
  const proved = await verifyOrdered(rootDer, above, leaf, now, ES256);
  return { leaf, cas: above, root, rootDer, proved };
}

/** @param {readonly Bytes[]} certificates */
async function readAll(certificates) {
  try {
    return await Promise.all(certificates.map((one) => x509.read(ES256, one)));
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new VerificationError(error.message);
  }
}

/** @param {Certificate} leaf */
function machineOf(leaf) {
  try {
    const found = leaf.others.get(extension.OID);
    if (found === undefined) {
      throw new MalformedError("expected one, found none: it is not a PCK certificate");
    }
    return extension.read(found);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new VerificationError(
      `the PCK certificate's extension for SGX: ${error.message}`,
    );
  }
}

/**
 * The trusted root whose key one of `found` has, and that one.
 * @param {readonly Certificate[]} found
 * @param {readonly Bytes[]} roots DER
 */
async function rootOf(found, roots) {
  const keys = new Map(found.map((one) => [encodeHex(one.spki), one]));
  if (keys.size !== found.length) {
    throw new VerificationError("two certificates of the chain have one key");
  }
  for (const rootDer of roots) {
    const root = await anchor(ES256, rootDer);
    const copy = keys.get(encodeHex(root.spki));
    if (copy !== undefined) return { root, rootDer, copy };
  }
  const hashes = await Promise.all(
    roots.map(async (one) => encodeHex(await sha256(one))),
  );
  throw new VerificationError(
    "none of the certificates has the key of a trusted root; trusted roots, by" +
      ` SHA-256: ${hashes.join(", ") || "none"}`,
  );
}

/**
 * Not needed for the path; but then no byte of it could be anything.
 * @param {Certificate} copy
 * @param {Certificate} root
 */
async function requireCopy(copy, root) {
  requireAlgorithms(copy);
  if (!equalBytes(copy.issuer, root.subject) || !(await isIssued(copy, root))) {
    throw new VerificationError(
      "the root among the certificates is not signed by the trusted root",
    );
  }
  if (!equalBytes(copy.subject, root.subject)) {
    throw new VerificationError(
      "the root among the certificates has another name than the trusted",
    );
  }
}

/** @param {Certificate} certificate */
function isCa({ constraints }) {
  return constraints?.ca ?? false;
}
