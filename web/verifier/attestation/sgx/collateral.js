/**
 * Collateral: what Intel publishes of a machine, without which a quote is half checked.
 *
 * One JSON file, as dcap-qvl writes it, of at most 262,144 bytes:
 *
 *     pck_certificate_chain    PEM, where the quote has none; may be left out
 *     pck_crl_issuer_chain     PEM: the CA of the PCK certificate, the root
 *     pck_crl, root_ca_crl     hex of the DER of their lists
 *     tcb_info_issuer_chain    PEM: Intel SGX TCB Signing, the root
 *     tcb_info                 Intel's JSON, as a string: these bytes are signed
 *     tcb_info_signature       hex of r, s
 *     qe_identity_issuer_chain, qe_identity, qe_identity_signature    likewise
 *
 * `parse` reads it. `Collateral.verify` then demands (docs/protocol.md 8.7):
 *
 * 1.  The list of revoked PCK certificates is of the CA that issued this one, and all
 *     certificates are valid now.
 * 2.  Each chain holds, under the root that the PCK certificate hangs below (signed.js).
 * 3.  Intel SGX TCB Signing signed both texts, and they are of their form (statements.js).
 * 4.  TCB info is of the FMSPC and PCE of the PCK certificate.
 * 5.  Now is within the dates of both texts and both lists.
 *
 * and `VerifiedCollateral.checkRevocation`, which reports show apart:
 *
 * 6.  The root signed its list, the CA of the PCK certificate its own (crl.js).
 * 7.  None of the certificates that all this rests on is in them.
 *
 * What is false is a VerificationError. Collateral that is old, or of another machine, is
 * not false, but says nothing of this one: an UncheckedError.
 */

import {
  decodeText,
  encodeHex,
  formatTime,
  readInteger,
  shown,
} from "../../encoding.js";
import { MalformedError, UncheckedError, VerificationError } from "../../errors.js";
import * as limits from "../../limits.js";
import { record, text } from "../../shapes.js";
import * as crl from "./crl.js";
import * as signed from "./signed.js";
import * as statements from "./statements.js";

/** @import { Bytes } from "../../encoding.js" */
/** @import { Shape } from "../../shapes.js" */
/** @import { Trust } from "../platform.js" */
/** @import { Certificate } from "../x509.js" */
/** @import { Pck } from "./pck.js" */
/** @import { QeIdentity, TcbInfo } from "./statements.js" */
/** @typedef {{ what: string, begins: number, ends: number }} Period unix seconds, both
 *   included */

const CA = "the PCK CRL's issuer chain";

const string = text(/^[^]*$/);
/** @type {Shape<string | null>} */
const stringOrNull = (value, where) => (value === null ? null : string(value, where));
const FILE = record(
  {
    pck_crl_issuer_chain: string,
    root_ca_crl: string,
    pck_crl: string,
    tcb_info_issuer_chain: string,
    tcb_info: string,
    tcb_info_signature: string,
    qe_identity_issuer_chain: string,
    qe_identity: string,
    qe_identity_signature: string,
  },
  { pck_certificate_chain: stringOrNull },
);

/**
 * Collateral that can be read.
 * @typedef {object} Parts
 * @property {signed.Signed} tcbInfo
 * @property {signed.Signed} qeIdentity
 * @property {readonly Certificate[]} caChain
 * @property {crl.Crl} pckCrl
 * @property {crl.Crl} rootCrl
 * @property {string} pckCertificateChain PEM; empty if it was left out
 */

/** What Intel states of the machine, today. Its certificates may be revoked. */
export class VerifiedCollateral {
  #issuedByRoot;
  #parts;

  /**
   * @param {Parts} parts
   * @param {TcbInfo} tcbInfo
   * @param {QeIdentity} qeIdentity
   * @param {number} ends unix seconds: the first of the dates up to which its parts hold
   * @param {readonly Certificate[]} issuedByRoot
   */
  constructor(parts, tcbInfo, qeIdentity, ends, issuedByRoot) {
    this.#parts = parts;
    this.tcbInfo = tcbInfo;
    this.qeIdentity = qeIdentity;
    this.ends = ends;
    this.#issuedByRoot = issuedByRoot;
  }

  /** What was found, for reports. */
  get words() {
    const { tcbInfo: info, qeIdentity: identity } = this;
    const numbers = [info, identity].map((one) => one.tcbEvaluationDataNumber);
    const data = [...new Set(numbers)].sort((one, other) => one - other).join(" and ");
    return (
      `for FMSPC ${info.fmspc}: TCB info of ${info.issueDate}, QE identity of` +
      ` ${identity.issueDate}, TCB evaluation data number ${data}; holds until` +
      ` ${formatTime(this.ends)}`
    );
  }

  /**
   * What was found, for reports: none of the certificates is revoked.
   * @param {Pck} machine
   * @throws {VerificationError} one is, or a list is not by whom it should be
   */
  async checkRevocation({ issuer, leaf, root }) {
    const byRoot = await this.#parts.rootCrl.verify(root); // 6
    const byCa = await this.#parts.pckCrl.verify(issuer);
    for (const one of [issuer, ...this.#issuedByRoot]) requireKept(one, byRoot); // 7
    requireKept(leaf, byCa);
    return (
      `none of the certificates, where ${issuer.commonName} has revoked ${byCa.size} and` +
      ` ${root.commonName} ${byRoot.size}`
    );
  }
}

/** Collateral that can be read. It is not verified. */
export class Collateral {
  #parts;

  /** @param {Parts} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /** PEM; empty if it was left out. */
  get pckCertificateChain() {
    return this.#parts.pckCertificateChain;
  }

  /**
   * What Intel states of the machine that has the PCK certificate `machine`.
   * @param {Pck} machine
   * @param {Trust} trust
   * @returns {Promise<VerifiedCollateral>}
   * @throws {VerificationError} something is false
   * @throws {UncheckedError} it is out of date, of another machine, or too new for us
   */
  async verify(machine, { now, skew = 0 }) {
    const parts = this.#parts;
    const ca = ofIssuer(parts.caChain, machine); // 1
    for (const period of certificatesOf(parts)) requireWithin(period, now, 0);
    const below = [machine.leaf, ...parts.caChain]; // 2
    await signed.verifyChain(CA, below, machine.rootDer, now, { cas: 1 });
    const signers = [
      await parts.tcbInfo.verify(machine.rootDer, now),
      await parts.qeIdentity.verify(machine.rootDer, now),
    ];
    const { info, identity } = statementsOf(parts); // 3
    const [found, expected] = [info, machine].map(
      ({ fmspc, pceId }) => `${fmspc}, PCE ${pceId}`,
    );
    if (found !== expected) {
      throw new UncheckedError(
        `TCB info: expected FMSPC ${expected}, found ${found}: get collateral` +
          " for this machine",
      ); // 4
    }
    const dates = datesOf(parts, info, identity);
    for (const period of dates) requireWithin(period, now, skew); // 5
    const ends = [...certificatesOf(parts), ...dates].map((one) => one.ends);
    const first = Math.min(...ends);
    return new VerifiedCollateral(parts, info, identity, first, [ca, ...signers]);
  }
}

/**
 * Collateral from its file.
 * @param {Bytes} data
 * @returns {Promise<Collateral>}
 * @throws {MalformedError} it is not of the form above, or too long
 */
export async function parse(data) {
  if (data.length > limits.COLLATERAL) {
    const found = data.length;
    throw new MalformedError(
      `expected at most ${limits.COLLATERAL} bytes, found ${found}`,
    );
  }
  const what = "the file";
  const file = statements.convert(
    statements.readJson(decodeJson(data), what),
    what,
    FILE,
  );
  return new Collateral({
    tcbInfo: await signed.parse(
      "TCB info",
      file.tcb_info,
      file.tcb_info_signature,
      file.tcb_info_issuer_chain,
    ),
    qeIdentity: await signed.parse(
      "QE identity",
      file.qe_identity,
      file.qe_identity_signature,
      file.qe_identity_issuer_chain,
    ),
    caChain: await signed.readChain(file.pck_crl_issuer_chain, CA),
    pckCrl: crl.parse(file.pck_crl, "PCK CRL"),
    rootCrl: crl.parse(file.root_ca_crl, "root CRL"),
    pckCertificateChain: file.pck_certificate_chain ?? "",
  });
}

/** @param {Bytes} data */
function decodeJson(data) {
  try {
    return decodeText(data);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new MalformedError("expected JSON in UTF-8");
  }
}

/** @param {Parts} parts */
function statementsOf({ tcbInfo, qeIdentity }) {
  try {
    return {
      info: statements.readTcbInfo(tcbInfo.text),
      identity: statements.readQeIdentity(qeIdentity.text),
    };
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new VerificationError(error.message);
  }
}

/**
 * When the certificates hold.
 * @param {Parts} parts
 * @returns {Period[]}
 */
function certificatesOf({ caChain, tcbInfo, qeIdentity }) {
  const all = [...caChain, ...tcbInfo.chain, ...qeIdentity.chain];
  return all.map(({ commonName, notBefore, notAfter }) => ({
    what: `the certificate of ${shown(commonName)}`,
    begins: notBefore,
    ends: notAfter,
  }));
}

/**
 * When texts and lists hold.
 * @param {Parts} parts
 * @param {TcbInfo} info
 * @param {QeIdentity} identity
 * @returns {Period[]}
 */
function datesOf({ tcbInfo, qeIdentity, pckCrl, rootCrl }, info, identity) {
  return [
    { what: tcbInfo.what, begins: info.begins, ends: info.ends },
    { what: qeIdentity.what, begins: identity.begins, ends: identity.ends },
    pckCrl,
    rootCrl,
  ];
}

/**
 * The one of `chain` that is of the CA of the PCK certificate.
 * @param {readonly Certificate[]} chain
 * @param {Pck} machine
 */
function ofIssuer(chain, { issuer }) {
  const found = chain.find(({ plainName }) => plainName === issuer.plainName);
  if (found !== undefined) return found;
  const names = chain.map(({ commonName }) => commonName).join(", ");
  throw new UncheckedError(
    `the PCK CRL is of another CA: expected ${issuer.commonName}, found` +
      ` ${shown(names)}: get collateral for this machine`,
  );
}

/**
 * @param {Period} period
 * @param {number} now unix seconds
 * @param {number} skew seconds
 */
function requireWithin({ what, begins, ends }, now, skew) {
  if (begins - skew <= now && now <= ends + skew) return;
  throw new UncheckedError(
    `${what} is of ${formatTime(begins)} to ${formatTime(ends)}, now is` +
      ` ${formatTime(now)}: get the collateral of today (or, of a past time, that of then)`,
  );
}

/**
 * @param {Certificate} one
 * @param {ReadonlySet<string>} revoked
 */
function requireKept({ commonName, serial }, revoked) {
  if (revoked.has(encodeHex(serial))) {
    const number = readInteger(serial).toString(16);
    throw new VerificationError(
      `the certificate of ${commonName} is revoked, number ${number}`,
    );
  }
}
