/**
 * The extension for SGX in a PCK certificate: what Intel says a machine is.
 *
 * 1.2.840.113741.1.13.1 is a SEQUENCE of SEQUENCEs, each of an OID below this one and a
 * value (Intel SGX PCK Certificate and CRL Profile Specification, 1.3.5):
 *
 *     .1  PPID     OCTET STRING, 16      not read
 *     .2  TCB      SEQUENCE              .1 to .16: INTEGER 0..255, the components' SVNs
 *                                        .17: INTEGER 0..65535, the PCE's SVN
 *                                        .18: OCTET STRING, 16, CPUSVN; not read
 *     .3  PCE-ID   OCTET STRING, 2
 *     .4  FMSPC    OCTET STRING, 6       family, model, stepping, platform, custom SKU
 *     .5  type     ENUMERATED            not read; nor are .6, .7: instance, configuration
 *
 * It is read as strictly as DER is written: lengths and numbers in their shortest form,
 * nothing twice, nothing after. Others under the OID are skipped: Intel added some.
 */

import { encodeHex, readInteger } from "../../encoding.js";
import { MalformedError } from "../../errors.js";
import * as der from "../der.js";

/** @import { Bytes } from "../../encoding.js" */

/**
 * What the extension says.
 * @typedef {object} Machine
 * @property {string} fmspc 12 digits of upper-case hex, as Intel writes it in collateral
 * @property {string} pceId 4 digits, likewise
 * @property {readonly number[]} components the 16 security version numbers of its
 *   firmware
 * @property {number} pceSvn
 */

export const OID = "1.2.840.113741.1.13.1";
const COMPONENTS = 16;
const TCB = 2;
const PCE_ID = 3;
const FMSPC = 4;
const PCE_SVN = 17;
/** The content of that OID. */
const PREFIX = "2a864886f84d010d01";
/** A byte of an OID from here on is not its last. */
const MORE = 0x80;

/**
 * What the extension for SGX says.
 * @param {Bytes} extension DER
 * @returns {Machine}
 * @throws {MalformedError} not of the form above
 */
export function read(extension) {
  const top = readTable(der.whole(extension, der.SEQUENCE), PREFIX);
  const below = valueOf(top, TCB).enter(der.SEQUENCE);
  const tcb = readTable(below, `${PREFIX}${TCB.toString(16).padStart(2, "0")}`);
  return {
    fmspc: readOctets(top, FMSPC, 6),
    pceId: readOctets(top, PCE_ID, 2),
    components: Array.from({ length: COMPONENTS }, (_, at) => readSvn(tcb, at + 1, 1)),
    pceSvn: readSvn(tcb, PCE_SVN, 2),
  };
}

/**
 * Values by the last byte of their OID, whose content is `prefix` and that byte.
 * @param {der.Reader} reader
 * @param {string} prefix
 * @returns {ReadonlyMap<number, Bytes>} DER elements
 */
function readTable(reader, prefix) {
  /** @type {Map<number, Bytes>} */
  const values = new Map();
  while (!reader.done) {
    const pair = reader.enter(der.SEQUENCE);
    const name = encodeHex(pair.content(der.OBJECT_IDENTIFIER));
    const value = pair.element();
    pair.end();
    const number = parseInt(name.slice(-2), 16);
    const below = name.startsWith(prefix) && name.length === prefix.length + 2;
    if (!below || number >= MORE) {
      throw new MalformedError(
        "DER: expected pairs of an OID below this one and a value",
      );
    }
    if (values.has(number)) {
      throw new MalformedError(`DER: expected .${number} once, found it again`);
    }
    values.set(number, value);
  }
  return values;
}

/**
 * @param {ReadonlyMap<number, Bytes>} values
 * @param {number} number
 */
function valueOf(values, number) {
  const found = values.get(number);
  if (found === undefined) throw new MalformedError(`expected .${number}, found none`);
  return new der.Reader(found);
}

/**
 * @param {ReadonlyMap<number, Bytes>} values
 * @param {number} number
 * @param {number} size
 */
function readOctets(values, number, size) {
  const content = valueOf(values, number).content(der.OCTET_STRING);
  if (content.length !== size) {
    const found = content.length;
    throw new MalformedError(`expected .${number} of ${size} bytes, found ${found}`);
  }
  return encodeHex(content).toUpperCase();
}

/**
 * @param {ReadonlyMap<number, Bytes>} values
 * @param {number} number
 * @param {number} size
 */
function readSvn(values, number, size) {
  const content = der.unsigned(valueOf(values, number).content(der.INTEGER));
  if (content.length > size) {
    const found = encodeHex(content);
    throw new MalformedError(
      `expected .${number} a number of ${size} bytes, found ${found}`,
    );
  }
  return Number(readInteger(content));
}
