/**
 * What Open Enclave writes before a quote: one header, or two, the outer one first.
 *
 *     oe_attestation_header_t    4 version, 2 or 3; 16 format, that of SGX with ECDSA;
 *                                4 padding, which may be anything; 8 size of what follows
 *     oe_report_header_t         4 version, 1; 4 kind, 2 (remote); 8 size of the quote
 *
 * Numbers are little-endian. The outer size covers what the application appended, the
 * inner one need not. All of it can be cut off, or made up, by whoever hands it over.
 */

import { copyBytes, encodeHex, readInteger } from "../../encoding.js";
import { MalformedError } from "../../errors.js";

/** @import { Bytes } from "../../encoding.js" */

const EVIDENCE_HEADER = "Open Enclave's evidence header";
export const REPORT_HEADER = "Open Enclave's report header";

const EVIDENCE = 32;
const VERSIONS = [2n, 3n];
const SGX_ECDSA = "a3a21e871b4d4014b70aa125d2fbcd8c";
const REPORT = 16;
const REMOTE = "0100000002000000";

/**
 * The quote and all that follows; its size, as far as is said; what was before it.
 * @param {Bytes} data
 * @returns {{ rest: Bytes, size: bigint, before: string }}
 * @throws {MalformedError} a size does not fit
 */
export function remove(data) {
  let rest = data;
  const before = [];
  if (rest.length >= EVIDENCE && encodeHex(rest.subarray(4, 20)) === SGX_ECDSA) {
    const version = littleEndian(rest.subarray(0, 4));
    if (VERSIONS.includes(version)) {
      const said = littleEndian(rest.subarray(24, EVIDENCE));
      rest = rest.subarray(EVIDENCE);
      if (said !== BigInt(rest.length)) throw unfit(EVIDENCE_HEADER, rest, said);
      before.push(`${EVIDENCE_HEADER}, version ${version}`);
    }
  }
  let size = BigInt(rest.length);
  if (rest.length >= REPORT && encodeHex(rest.subarray(0, 8)) === REMOTE) {
    size = littleEndian(rest.subarray(8, REPORT));
    rest = rest.subarray(REPORT);
    if (size > BigInt(rest.length)) throw unfit(REPORT_HEADER, rest, size);
    before.push(REPORT_HEADER);
  }
  return { rest, size, before: before.join(" and ") };
}

/**
 * @param {string} what
 * @param {Bytes} rest
 * @param {bigint} found
 */
function unfit(what, rest, found) {
  return new MalformedError(
    `SGX quote, ${what}: expected a size of ${rest.length}, found ${found}`,
  );
}

/**
 * A number whose first byte counts least.
 * @param {Bytes} data
 */
export function littleEndian(data) {
  return readInteger(copyBytes(data).reverse());
}
