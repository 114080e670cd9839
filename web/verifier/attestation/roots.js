/**
 * Roots of trust: the vendors' own, which come with pcrlog, and a policy's.
 *
 * A policy that says `roots = ["builtin"]` gets the vendor's, which stand in the module of
 * the platform; one that trusts a partition with a root of its own names that root's PEM
 * instead. To compare by hand: `openssl x509 -in FILE -outform DER | sha256sum`.
 */

import { platform } from "../attestation.js";
import { decodeBase64 } from "../encoding.js";
import { MalformedError, UsageError } from "../errors.js";

/** @import { Bytes } from "../encoding.js" */

const BEGIN = "-----BEGIN CERTIFICATE-----";
const END = "-----END CERTIFICATE-----";
// Of other characters no two languages agree which are white space, or end a line.
const STRANGE = /[^\t\n\r -~]/;

/**
 * The roots (DER certificates) of a platform.
 * @param {string} name
 * @returns {Bytes[]}
 * @throws {UsageError} no documents of such a platform are known
 */
export function builtin(name) {
  return platform(name).roots.map(fromPem);
}

/**
 * The DER of one certificate in PEM, as a policy spells a root of its own.
 * @param {string} pem
 * @returns {Bytes}
 * @throws {UsageError} not exactly one certificate, or characters that PEM has not
 */
export function fromPem(pem) {
  const lines = pem.trim().split(/\r\n|\n|\r/);
  if (STRANGE.test(pem) || lines[0] !== BEGIN || lines.at(-1) !== END) {
    throw new UsageError(
      "a root is one certificate in PEM, from BEGIN to END CERTIFICATE",
    );
  }
  try {
    return decodeBase64(lines.slice(1, -1).join(""));
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new UsageError(`root in PEM: ${error.message}`);
  }
}
