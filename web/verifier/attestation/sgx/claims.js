/**
 * What a quote says of an enclave, in the words of pcrlog.
 *
 *     registers    MRENCLAVE, the measurement; MRSIGNER, the hash of its signer's key
 *     numbers      ISVPRODID, ISVSVN: product and version, as the signer counts
 *     nonce        the first 32 bytes of report data
 *     publicKey    the last 32
 *     userData     all 64; or the first 32, if the others are zero: who puts one hash
 *                  there, as RA-TLS does, binds it as user data
 *     moduleId     of the quoting enclave's machine: the QE's ID
 *     debug        the flag DEBUG, or no flag MODE64BIT
 *
 * A quote names no time. What is unusual about it becomes a note; so does what stands
 * before and after it, which is not signed.
 */

import { encodeHex, equalBytes, sha256 } from "../../encoding.js";
import * as quote from "./quote.js";

/** @import { Bytes } from "../../encoding.js" */
/** @import { Quote, Report } from "./quote.js" */

/**
 * What a quote says; true if the quote is verified.
 * @typedef {object} Claims
 * @property {Map<string, string>} registers
 * @property {Map<string, number>} numbers
 * @property {Bytes} nonce
 * @property {Bytes} publicKey
 * @property {Bytes} userData
 * @property {string} moduleId
 * @property {string} debug
 * @property {string[]} notes
 */

/** Of the report data. */
const HALF = 32;
/** @type {readonly (readonly [bigint, string])[]} */
const FLAGS = [
  [quote.PROVISION, "PROVISION_KEY: it can ask for keys that identify the processor"],
  [quote.EINITTOKEN, "EINITTOKEN_KEY: it can let other enclaves start"],
];
const USUAL = quote.INIT | quote.DEBUG | quote.MODE64 | quote.KSS;
const KNOWN = FLAGS.reduce((sum, [flag]) => sum | flag, USUAL);

/**
 * What a quote says.
 * @param {Quote} it
 * @returns {Promise<Claims>}
 */
export async function of(it) {
  const { mrenclave, mrsigner, reportData, isvProdId, isvSvn } = it.report;
  const [first, last] = [reportData.subarray(0, HALF), reportData.subarray(HALF)];
  return {
    registers: new Map([
      ["MRENCLAVE", `sha256:${encodeHex(mrenclave)}`],
      ["MRSIGNER", `sha256:${encodeHex(mrsigner)}`],
    ]),
    numbers: new Map([
      ["ISVPRODID", isvProdId],
      ["ISVSVN", isvSvn],
    ]),
    nonce: first,
    publicKey: last,
    userData: last.some((byte) => byte !== 0) ? reportData : first,
    moduleId: encodeHex(it.qeId),
    debug: debug(it.report),
    notes: [...(await notes(it)), ...notesOnFlags(it.report)],
  };
}

/**
 * Why the enclave's memory is open to its host; empty if it is not.
 * @param {Report} report
 */
export function debug({ flags }) {
  if ((flags & quote.DEBUG) !== 0n) {
    return "its attributes have DEBUG: its host can read its memory, and write it";
  }
  if ((flags & quote.MODE64) === 0n) {
    // MRENCLAVE does not cover attributes: whoever signs anew sets them.
    return "its attributes do not have MODE64BIT: its code is run as of 32 bits";
  }
  return "";
}

/** @param {Quote} it */
async function notes({ wrapping, trailing, certification, report, qeSvn, qeReport }) {
  const found = [];
  if (wrapping) {
    found.push(`before the quote stands ${wrapping}, which nothing signs`);
  }
  if (trailing.length > 0) {
    const [size, digest] = [trailing.length, await sha256(trailing)];
    const signed = equalBytes(report.reportData.subarray(0, HALF), digest);
    const what = signed
      ? "whose SHA-256 is in its report data"
      : `which nothing signs: ${encodeHex(digest)}`;
    found.push(`${size} bytes after the quote, ${what}`);
  }
  if (certification !== quote.PCK_CHAIN) {
    found.push(`its certification data is of type ${certification}, and not signed`);
  }
  if (qeSvn !== qeReport.isvSvn) {
    found.push(`its header says QE ${qeSvn}, the QE's report ${qeReport.isvSvn}`);
  }
  return found;
}

/** @param {Report} report */
function notesOnFlags({ flags }) {
  const found = FLAGS.filter(([flag]) => (flags & flag) !== 0n).map(
    ([, meaning]) => `its attributes have ${meaning}`,
  );
  const unknown = flags & ~KNOWN;
  if (unknown !== 0n) {
    const hex = unknown.toString(16);
    found.push(`its attributes have flags unknown to pcrlog: 0x${hex}`);
  }
  return found;
}
