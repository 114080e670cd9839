/**
 * Attestation documents: the one small interface behind which platforms sit.
 *
 * A document is verified in the steps that a report shows. Each hands out the next one,
 * so that none can be left out (docs/protocol.md section 4, Checks):
 *
 *     const unverified = await platform("aws-nitro").parse(data)   document.form
 *     const signed = await unverified.verifySignature()            document.signature
 *     const document = await signed.verifyChain(roots)             document.chain
 *
 * Only the `Document` gives anything away, and all of it is authenticated. The chain is
 * judged at the time at which the document was signed. Whether that time will do is for
 * the caller to say, as are the other checks: `document.time`, `document.nonce`,
 * `document.debug`, `channel`, and whether these are the registers that were expected.
 */

import * as nitro from "./attestation/nitro.js";
import { decodeBase64, decodeHex, decodeLatin1, shown } from "./encoding.js";
import { MalformedError, UsageError } from "./errors.js";
import * as limits from "./limits.js";

/** @import { Bytes } from "./encoding.js" */

/**
 * What a genuine document says. It may still be old, a replay, or in debug mode.
 * @typedef {object} Document
 * @property {string} platform
 * @property {Map<string, string>} registers "PCR0" to "sha384:<hex>"; all that the
 *   document has, by number
 * @property {number} time unix milliseconds, as signed
 * @property {Bytes | null} nonce
 * @property {Bytes | null} userData
 * @property {Bytes | null} publicKey
 * @property {string} moduleId the vendor's name of the enclave that was measured
 * @property {boolean} debug the memory of what was measured is open to its host: worth
 *   nothing
 * @property {number} leafNotBefore unix seconds, as is `leafNotAfter`: the life of the
 *   key that signed
 * @property {number} leafNotAfter
 * @property {string} rootSha256 of the trusted root's DER: says which partition of the
 *   vendor this is
 * @property {string[]} notes what is unusual about it, for people to read; never a
 *   reason to refuse
 */

/** The longest document in hex, with line ends at every second digit even. */
const TEXT = 3 * limits.ATTESTATION;
/** A CBOR array of four, one of indefinite length, tag 18. */
const FIRST = [0x84, 0x9f, 0xd2];
const FIRST_IN_HEX = /^(?:84|9f|d2)/;
const UNKNOWN = "expected an attestation document in CBOR, base64 or hex";

/**
 * The platform called `name`.
 * @param {string} name
 * @throws {UsageError} there is none of which pcrlog can read documents
 */
export function platform(name) {
  if (name === nitro.NAME) return nitro;
  throw new UsageError(
    `no attestation documents of platform ${shown(name)}; known: ${nitro.NAME}`,
  );
}

/**
 * A document as people hand it over: its bytes, or these in base64 or hex.
 *
 * The three cannot be confused: no text begins with the first byte of a CBOR array, and
 * what begins like one in hex is, read as base64, not a CBOR array. Newlines, as
 * `base64` and `xxd -p` write them, are dropped.
 * @param {Bytes} raw
 * @returns {Bytes}
 * @throws {MalformedError} none of the three, or longer than any document is
 */
export function decodeInput(raw) {
  const binary = startsLikeDocument(raw);
  const most = binary ? limits.ATTESTATION : TEXT;
  if (raw.length > most) {
    throw new MalformedError(
      `attestation document: expected at most ${most} bytes, found ${raw.length}`,
    );
  }
  const data = binary ? raw : decodeAsText(raw);
  if (!startsLikeDocument(data)) throw new MalformedError(UNKNOWN);
  return data;
}

/** @param {Bytes} data */
function startsLikeDocument(data) {
  return data[0] !== undefined && FIRST.includes(data[0]);
}

/** @param {Bytes} raw */
function decodeAsText(raw) {
  if (raw.some((byte) => byte > 0x7f)) throw new MalformedError(UNKNOWN);
  const text = decodeLatin1(raw).replace(/[\r\n]/g, "");
  return FIRST_IN_HEX.test(text) ? decodeHex(text) : decodeBase64(text);
}
