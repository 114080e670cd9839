/**
 * A text that Intel signed, and the chains of certificates that collateral has.
 *
 *     Intel SGX Root CA              trusted; the copy in each chain says which it is
 *       Intel SGX TCB Signing        signs TCB info and QE identity
 *       Intel SGX PCK Platform CA    or Processor CA; signs PCK certificates and their CRL
 *
 * A chain is two certificates in PEM, the root's copy one of them, in any order. The rules
 * that it is held to are those of the PCK certificate's own (`verifyPath` of pck.js).
 */

import { decodeHex, encodeText, shown } from "../../encoding.js";
import { MalformedError, VerificationError } from "../../errors.js";
import { keyOf } from "../certificates.js";
import { ES256 } from "../ecdsa.js";
import * as x509 from "../x509.js";
import * as pck from "./pck.js";
import * as pem from "./pem.js";
import * as quote from "./quote.js";

/** @import { Bytes } from "../../encoding.js" */
/** @import { Certificate } from "../x509.js" */
/** @import { Path } from "./pck.js" */

/** Common name of the one certificate whose key signs what Intel states. */
const SIGNING = "Intel SGX TCB Signing";
const IN_CHAIN = 2;
const OTHER_THAN_ASCII = /[^\x00-\x7f]/;

/** A text of Intel's, with what came with it. Nothing of it is verified. */
export class Signed {
  #signature;

  /**
   * @param {string} what a name, for messages: "TCB info"
   * @param {string} text
   * @param {Bytes} signature
   * @param {readonly Certificate[]} chain
   */
  constructor(what, text, signature, chain) {
    this.what = what;
    this.text = text;
    this.#signature = signature;
    this.chain = chain;
  }

  /**
   * The certificate, valid `now` and issued by the root, of the key that signed it.
   * @param {Bytes} root DER
   * @param {number} now unix seconds
   * @returns {Promise<Certificate>}
   * @throws {VerificationError} there is none
   */
  async verify(root, now) {
    const what = `the issuer chain of ${this.what}`;
    const { leaf } = await verifyChain(what, this.chain, root, now, { cas: 0 });
    if (leaf.commonName !== SIGNING) {
      const found = shown(leaf.commonName);
      throw new VerificationError(
        `${this.what}: expected ${SIGNING} to sign it, found ${found}`,
      );
    }
    await quote.verifySignature(
      keyOf(leaf),
      this.#signature,
      encodeText(this.text),
      `${this.what}: its signature is not by the key of ${SIGNING}`,
    );
    return leaf;
  }
}

/**
 * A text (JSON), with its signature in hex and the chain of its signer in PEM.
 * @param {string} what
 * @param {string} text
 * @param {string} signature
 * @param {string} chain
 * @returns {Promise<Signed>}
 * @throws {MalformedError} one of them is not
 */
export async function parse(what, text, signature, chain) {
  if (OTHER_THAN_ASCII.test(text)) {
    throw new MalformedError(`${what}: expected JSON in ASCII, as Intel writes it`);
  }
  let raw;
  try {
    raw = decodeHex(signature, quote.SIGNATURE);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new MalformedError(`the signature of ${what}: ${error.message}`);
  }
  const read = await readChain(chain, `the issuer chain of ${what}`);
  return new Signed(what, text, raw, read);
}

/**
 * The two certificates of a chain.
 * @param {string} text
 * @param {string} what its name, for messages
 * @returns {Promise<readonly Certificate[]>}
 * @throws {MalformedError} another number of them, or one that cannot be read
 */
export async function readChain(text, what) {
  let found;
  try {
    found = await Promise.all(pem.read(text).map((der) => x509.read(ES256, der)));
    if (found.some(({ plainName }) => plainName === null)) {
      throw new MalformedError("not a readable certificate: its subject");
    }
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new MalformedError(`${what}: ${error.message}`);
  }
  if (found.length !== IN_CHAIN) {
    throw new MalformedError(
      `${what}: expected ${IN_CHAIN} certificates, found ${found.length}`,
    );
  }
  return found;
}

/**
 * `verifyPath` of pck.js under one root.
 * @param {string} what the message of an error begins with it
 * @param {readonly Certificate[]} chain
 * @param {Bytes} root DER
 * @param {number} now unix seconds
 * @param {{ cas: number }} options
 * @returns {Promise<Path>}
 * @throws {VerificationError} as there
 */
export async function verifyChain(what, chain, root, now, options) {
  try {
    return await pck.verifyPath(chain, [root], now, options);
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    throw new VerificationError(`${what}: ${error.message}`);
  }
}
