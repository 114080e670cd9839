/**
 * How recent a machine's firmware and quoting enclave are, as Intel evaluates it
 * (docs/protocol.md 8.7).
 *
 *     1.  QE identity is of the enclave that made the report, in the bits that its masks
 *         leave; with debug among them.
 *     2.  Its level is the first whose ISVSVN the report reaches. Below all: revoked.
 *     3.  The machine's level is the first in TCB info of which it reaches all 16 SVNs and
 *         the PCE's. Below all: TCB info knows no such machine.
 *     4.  Both statuses become one, by the table below.
 *     5.  This status, and all advisories of both levels, are what the policy accepts.
 *         "Revoked" is not for a policy to accept.
 *
 *     the machine's status                            its status with a QE out of date
 *     UpToDate, SWHardeningNeeded                     OutOfDate
 *     ConfigurationNeeded, -AndSWHardeningNeeded      OutOfDateConfigurationNeeded
 *     OutOfDate, OutOfDateConfigurationNeeded         the same
 *     Revoked                                         the same
 *
 * 1 to 4 are those of Intel's PCS API version 4 and of its Quote Verification Library
 * (convergeTcbStatus); levels are taken in the order in which Intel signed them.
 */

import { decodeHex, encodeHex, shown } from "../../encoding.js";
import { UncheckedError, VerificationError } from "../../errors.js";
import { DEBUG } from "./quote.js";

/** @import { Bytes } from "../../encoding.js" */
/** @import { Trust } from "../platform.js" */
/** @import { Pck } from "./pck.js" */
/** @import { Report } from "./quote.js" */
/** @import { PlatformLevel, QeIdentity, TcbInfo } from "./statements.js" */

/**
 * The level of a genuine quoting enclave; not revoked, but maybe out of date.
 * @typedef {object} QeLevel
 * @property {string} status
 * @property {readonly string[]} advisories
 * @property {string} words what was found, for reports
 */

const UP_TO_DATE = "UpToDate";
const REVOKED = "Revoked";
const OUT_OF_DATE = "OutOfDate";
const BOTH = "OutOfDateConfigurationNeeded";
/** The statuses of a machine; each to what it is where the quoting enclave is old. */
const WITH_OLD_QE = new Map([
  [UP_TO_DATE, OUT_OF_DATE],
  ["SWHardeningNeeded", OUT_OF_DATE],
  ["ConfigurationNeeded", BOTH],
  ["ConfigurationAndSWHardeningNeeded", BOTH],
  [OUT_OF_DATE, OUT_OF_DATE],
  [BOTH, BOTH],
  [REVOKED, REVOKED],
]);
const OF_QE = [UP_TO_DATE, OUT_OF_DATE, REVOKED];

/**
 * The level of the quoting enclave whose report this is.
 * @param {QeIdentity} identity
 * @param {Report} report
 * @returns {QeLevel}
 * @throws {VerificationError} it is not Intel's, or revoked
 * @throws {UncheckedError} its status has a name that is not known here
 */
export function checkQe(identity, report) {
  if ((report.flags & DEBUG) !== 0n) {
    // Intel's mask has the bit today. A key that its host can read is nobody's.
    throw new VerificationError(
      "quoting enclave: its attributes have DEBUG: it cannot keep a key",
    );
  }
  requireSame("MRSIGNER", identity.mrsigner, report.mrsigner); // 1
  const { miscselect, miscselectMask, attributes, attributesMask } = identity;
  requireMasked("miscselect", miscselect, miscselectMask, report.miscselect);
  requireMasked("attributes", attributes, attributesMask, report.attributes);
  if (report.isvProdId !== identity.isvprodid) {
    const [expected, found] = [identity.isvprodid, report.isvProdId];
    throw new VerificationError(
      `quoting enclave: expected ISVPRODID ${expected}, found ${found}`,
    );
  }
  const level = identity.tcbLevels.find(({ tcb }) => tcb.isvsvn <= report.isvSvn); // 2
  if (level === undefined) {
    throw new VerificationError(
      `quoting enclave: ISVSVN ${report.isvSvn} is below all levels that Intel` +
        " lists, and so counts as revoked",
    );
  }
  const status = level.tcbStatus;
  requireKnown(status, OF_QE, "quoting enclave");
  const advisories = level.advisoryIDs ?? [];
  const words =
    `Intel's quoting enclave, ISVSVN ${report.isvSvn}: ${status}` +
    `${inBrackets(advisories)}, TCB date ${level.tcbDate}`;
  if (status === REVOKED) throw new VerificationError(words);
  return { status, advisories, words };
}

/**
 * What was found, for reports: the machine's status is one that `trust` accepts.
 * @param {TcbInfo} info
 * @param {Pck} machine
 * @param {QeLevel} qeLevel
 * @param {Trust} trust
 * @throws {VerificationError} it is not
 * @throws {UncheckedError} the status has a name that is not known here
 */
export function checkTcb(info, machine, qeLevel, trust) {
  const level = levelOf(info, machine); // 3
  requireKnown(level.tcbStatus, [...WITH_OLD_QE.keys()], "machine");
  const status = merge(level.tcbStatus, qeLevel.status); // 4
  const named = new Set([...(level.advisoryIDs ?? []), ...qeLevel.advisories]);
  const advisories = [...named].sort();
  let found = `${status}${inBrackets(advisories)}, TCB date ${level.tcbDate}`;
  if (status !== level.tcbStatus) {
    found += ` (the machine ${level.tcbStatus}, its quoting enclave out of date)`;
  }
  if (status === REVOKED) {
    throw new VerificationError(`${found}: no policy can accept that`); // 5
  }
  const more = [];
  if (!(trust.tcb ?? [UP_TO_DATE]).includes(status)) more.push(`"${status}" to tcb`);
  const accepted = trust.advisories ?? [];
  const unknown = advisories.filter((one) => !accepted.includes(one));
  if (unknown.length > 0) more.push(`${unknown.join(", ")} to advisories`);
  if (more.length > 0) {
    const what = more.join(" and ");
    throw new VerificationError(`${found}: to accept it, add ${what} in the policy`);
  }
  return found;
}

/**
 * The status of a machine with its quoting enclave.
 * @param {string} platform one of `WITH_OLD_QE`
 * @param {string} qe
 */
export function merge(platform, qe) {
  if (qe === REVOKED) return REVOKED;
  return qe === OUT_OF_DATE ? (WITH_OLD_QE.get(platform) ?? REVOKED) : platform;
}

/**
 * @param {TcbInfo} info
 * @param {Pck} machine
 * @returns {PlatformLevel}
 */
function levelOf(info, { components, pceSvn }) {
  const found = info.tcbLevels.find(
    ({ tcb }) =>
      tcb.sgxtcbcomponents.every(({ svn }, at) => svn <= (components[at] ?? -1)) &&
      tcb.pcesvn <= pceSvn,
  );
  if (found !== undefined) return found;
  throw new VerificationError(
    `the machine (SVNs ${components.join(" ")}, PCE ${pceSvn}) is below all levels` +
      ` that Intel lists for FMSPC ${info.fmspc}`,
  );
}

/**
 * @param {string} what
 * @param {string} expected upper-case hex
 * @param {Bytes} found
 */
function requireSame(what, expected, found) {
  const [wanted, digits] = [expected.toLowerCase(), encodeHex(found)];
  if (wanted !== digits) {
    throw new VerificationError(
      `quoting enclave, ${what}: expected ${wanted}, found ${digits}`,
    );
  }
}

/**
 * @param {string} what
 * @param {string} expected upper-case hex, as is the mask
 * @param {string} mask
 * @param {Bytes} found of the mask's length
 */
function requireMasked(what, expected, mask, found) {
  const bits = decodeHex(mask.toLowerCase(), found.length);
  const masked = found.map((byte, at) => byte & (bits[at] ?? 0));
  requireSame(`${what} under mask ${mask.toLowerCase()}`, expected, masked);
}

/** @param {readonly string[]} advisories */
function inBrackets(advisories) {
  return advisories.length > 0 ? ` (${advisories.join(", ")})` : "";
}

/**
 * @param {string} status
 * @param {readonly string[]} known
 * @param {string} whose
 */
function requireKnown(status, known, whose) {
  if (!known.includes(status)) {
    throw new UncheckedError(
      `${whose}: TCB status ${shown(status)} is not known: get a newer pcrlog`,
    );
  }
}
