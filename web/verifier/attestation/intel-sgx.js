/**
 * Intel SGX, platform `intel-sgx`: what a quote says, and the steps to believing it.
 *
 *     document.signature    the attestation key signed header and report
 *     document.chain        the PCK certificate descends from a trusted root, by its key
 *     document.qe-report    the PCK signed the report of the quoting enclave (QE), which
 *                           names the attestation key: from here on there is a document
 *     document.collateral   Intel's word on this machine is signed, and holds now
 *     document.revocation   Intel has not taken back a certificate of all these
 *     document.qe-identity  the QE is Intel's own, and recent enough
 *     document.tcb          firmware and QE have a status that the policy accepts
 *
 * The last four need collateral, a file. Without it they are unchecked, but for this: a QE
 * that is not of Intel's making is refused anyway. With the right attribute any enclave
 * can have its report signed by a PCK, so the first three alone prove little.
 *
 * What a quote says is in sgx/claims.js, how it is laid out in sgx/quote.js.
 */

import { encodeHex, equalBytes, joinBytes, sha256 } from "../encoding.js";
import { MalformedError, UncheckedError, VerificationError } from "../errors.js";
import { keyOf } from "./certificates.js";
import { Document } from "./platform.js";
import { debug, of as claimsOf } from "./sgx/claims.js";
import * as collateral from "./sgx/collateral.js";
import * as pck from "./sgx/pck.js";
import * as pem from "./sgx/pem.js";
import * as quote from "./sgx/quote.js";
import * as tcb from "./sgx/tcb.js";

/** @import { Bytes } from "../encoding.js" */
/** @import { Platform, Said, Trust } from "./platform.js" */
/** @import { VerifiedCollateral } from "./sgx/collateral.js" */
/** @import { Pck } from "./sgx/pck.js" */
/** @import { Quote, Report } from "./sgx/quote.js" */
/** @import { QeLevel } from "./sgx/tcb.js" */
/** @import { Claims } from "./sgx/claims.js" */
/** @typedef {{ quote: Quote, claims: Claims }} Unverified a quote of the right form, and
 *   what it says. Nothing of it is verified */
/** @typedef {Unverified} Signed a quote that the key in it signed */
/** @typedef {Signed & { pck: Pck }} Chained the same, and the machine that its
 *   certificates are about */

const NAME = "intel-sgx";
/**
 * Intel SGX Root CA, to 2049; of its DER the SHA-256 is
 * 44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3. Quotes with the older
 * certificate of the same key hold under it.
 */
const ROOT = `
-----BEGIN CERTIFICATE-----
MIICjzCCAjSgAwIBAgIUImUM1lqdNInzg7SVUr9QGzknBqwwCgYIKoZIzj0EAwIw
aDEaMBgGA1UEAwwRSW50ZWwgU0dYIFJvb3QgQ0ExGjAYBgNVBAoMEUludGVsIENv
cnBvcmF0aW9uMRQwEgYDVQQHDAtTYW50YSBDbGFyYTELMAkGA1UECAwCQ0ExCzAJ
BgNVBAYTAlVTMB4XDTE4MDUyMTEwNDUxMFoXDTQ5MTIzMTIzNTk1OVowaDEaMBgG
A1UEAwwRSW50ZWwgU0dYIFJvb3QgQ0ExGjAYBgNVBAoMEUludGVsIENvcnBvcmF0
aW9uMRQwEgYDVQQHDAtTYW50YSBDbGFyYTELMAkGA1UECAwCQ0ExCzAJBgNVBAYT
AlVTMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEC6nEwMDIYZOj/iPWsCzaEKi7
1OiOSLRFhWGjbnBVJfVnkY4u3IjkDYYL0MxO4mqsyYjlBalTVYxFP2sJBK5zlKOB
uzCBuDAfBgNVHSMEGDAWgBQiZQzWWp00ifODtJVSv1AbOScGrDBSBgNVHR8ESzBJ
MEegRaBDhkFodHRwczovL2NlcnRpZmljYXRlcy50cnVzdGVkc2VydmljZXMuaW50
ZWwuY29tL0ludGVsU0dYUm9vdENBLmRlcjAdBgNVHQ4EFgQUImUM1lqdNInzg7SV
Ur9QGzknBqwwDgYDVR0PAQH/BAQDAgEGMBIGA1UdEwEB/wQIMAYBAf8CAQEwCgYI
KoZIzj0EAwIDSQAwRgIhAOW/5QkR+S9CiSDcNoowLuPRLsWGf/Yi7GSX94BgwTwg
AiEA4J0lrHoMs+Xo5o/sX6O9QWxHRAvZUGOdRQ7cvqRXaqI=
-----END CERTIFICATE-----
`;
const HALF = 32;
const NO_COLLATERAL =
  "no collateral: what Intel says of this machine has to be given, with" +
  " --collateral FILE";
const RESTS = "it rests on document.collateral, which is unchecked";

/** What the quote says, and what the steps after it ask of its machine. */
class SgxDocument extends Document {
  /**
   * @param {Said} said
   * @param {Pck} machine
   * @param {Report} qeReport
   */
  constructor(said, machine, qeReport) {
    super(said);
    this.pck = machine;
    this.qeReport = qeReport;
    /** @type {VerifiedCollateral | null} */
    this.collateral = null;
    /** @type {QeLevel | null} */
    this.qeLevel = null;
  }

  /**
   * The same, with what one more step found.
   * @param {{ collateral?: VerifiedCollateral, qeLevel?: QeLevel }} more
   */
  with(more) {
    const changed = new SgxDocument(this, this.pck, this.qeReport);
    changed.collateral = more.collateral ?? this.collateral;
    changed.qeLevel = more.qeLevel ?? this.qeLevel;
    return changed;
  }
}

/**
 * A quote, bare or wrapped. Nothing in it is verified.
 * @param {Bytes} data
 * @returns {Promise<Unverified>}
 * @throws {MalformedError} it is not one (sgx/quote.js)
 */
async function parse(data) {
  const it = await quote.parse(data);
  return { quote: it, claims: await claimsOf(it) };
}

/**
 * @param {Unverified} unverified
 * @returns {Promise<readonly [Signed, string]>}
 */
async function takeSignature(unverified) {
  const { key, signature, signed } = unverified.quote;
  const failure = "the attestation key that is in the quote did not sign it";
  await quote.verifySignature(key, signature, signed, failure);
  return [unverified, "header and report, by the attestation key"];
}

/**
 * @param {Signed} signed
 * @param {Trust} trust
 * @returns {Promise<readonly [Chained, string]>}
 */
async function takeChain(signed, trust) {
  const given = signed.quote.certificates;
  const certificates =
    given.length > 0 ? given : await fromCollateral(signed.quote, trust);
  const machine = await pck.verify(certificates, trust.roots, trust.now);
  const found =
    `a PCK certificate by ${machine.issuer.commonName}, FMSPC ${machine.fmspc},` +
    ` root ${machine.rootSha256}`;
  return [{ ...signed, pck: machine }, found];
}

/**
 * @param {Quote} unverified
 * @param {Trust} trust
 */
async function fromCollateral({ certification }, trust) {
  const given = trust.collateral === undefined ? null : await read(trust.collateral);
  if (!given?.pckCertificateChain) {
    throw new UncheckedError(
      `the quote has certification data of type ${certification}, no` +
        " PCK certificate: it has to be given, with --collateral FILE, as its" +
        " pck_certificate_chain",
    );
  }
  try {
    return pem.read(given.pckCertificateChain);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new VerificationError(`collateral, pck_certificate_chain: ${error.message}`);
  }
}

/**
 * @param {Chained} chained
 * @returns {Promise<readonly [SgxDocument, string]>}
 */
async function takeQeReport({ quote: it, claims, pck: machine }) {
  await quote.verifySignature(
    keyOf(machine.leaf),
    it.qeSignature,
    it.qeReport.raw,
    "the key of the PCK certificate did not sign the QE's report",
  );
  const named = await sha256(joinBytes(it.attestationKey, it.authentication));
  const bound = joinBytes(named, new Uint8Array(HALF));
  const { reportData, isvSvn } = it.qeReport;
  if (!equalBytes(reportData, bound)) {
    throw new VerificationError(
      "the QE's report is not about this attestation key: expected report data" +
        ` ${encodeHex(bound)}, found ${encodeHex(reportData)}`,
    );
  }
  const found = `of QE ${encodeHex(it.qeId)}, version ${isvSvn}`;
  return [documentOf(claims, machine, it.qeReport), found];
}

/**
 * @param {Claims} claims
 * @param {Pck} machine
 * @param {Report} qeReport
 */
function documentOf(claims, machine, qeReport) {
  const { notBefore, notAfter, rootSha256 } = machine;
  const said = {
    ...claims,
    platform: NAME,
    time: null,
    leafNotBefore: notBefore,
    leafNotAfter: notAfter,
    rootSha256,
  };
  return new SgxDocument(said, machine, qeReport);
}

/**
 * @param {SgxDocument} document
 * @param {Trust} trust
 * @returns {Promise<readonly [SgxDocument, string]>}
 */
async function takeCollateral(document, trust) {
  if (trust.collateral === undefined) throw new UncheckedError(NO_COLLATERAL);
  const given = await read(trust.collateral);
  const verified = await given.verify(document.pck, trust);
  return [document.with({ collateral: verified }), verified.words];
}

/** @param {Bytes} data */
async function read(data) {
  try {
    return await collateral.parse(data);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new VerificationError(`collateral: ${error.message}`);
  }
}

/**
 * @param {SgxDocument} document
 * @returns {Promise<readonly [SgxDocument, string]>}
 */
async function takeRevocation(document) {
  if (document.collateral === null) throw new UncheckedError(RESTS);
  return [document, await document.collateral.checkRevocation(document.pck)];
}

/**
 * @param {SgxDocument} document
 * @returns {Promise<readonly [SgxDocument, string]>}
 */
async function takeQeIdentity(document) {
  if (document.collateral === null) {
    requireIntels(document.qeReport);
    throw new UncheckedError(
      `it is signed by Intel; whether it is recent is unknown: ${RESTS}`,
    );
  }
  const level = tcb.checkQe(document.collateral.qeIdentity, document.qeReport);
  return [document.with({ qeLevel: level }), level.words];
}

/** @param {Report} report */
function requireIntels(report) {
  const signer = encodeHex(report.mrsigner);
  if (signer !== quote.QE_SIGNER || report.isvProdId !== quote.QE_PROD_ID) {
    throw new VerificationError(
      `the quoting enclave is not Intel's: expected MRSIGNER ${quote.QE_SIGNER},` +
        ` ISVPRODID ${quote.QE_PROD_ID}, found ${signer}, ${report.isvProdId}`,
    );
  }
  const open = debug(report);
  if (open) {
    throw new VerificationError(`the quoting enclave cannot keep a key: ${open}`);
  }
}

/**
 * @param {SgxDocument} document
 * @param {Trust} trust
 * @returns {Promise<readonly [SgxDocument, string]>}
 */
async function takeTcb(document, trust) {
  const { collateral: verified, qeLevel, pck: machine } = document;
  if (verified === null || qeLevel === null) throw new UncheckedError(RESTS);
  return [document, tcb.checkTcb(verified.tcbInfo, machine, qeLevel, trust)];
}

/** @type {Platform} */
export const PLATFORM = {
  name: NAME,
  roots: [ROOT],
  parse,
  steps: [
    {
      check: "document.signature",
      expected: "signed (ES256) by its attestation key",
      take: takeSignature,
    },
    {
      check: "document.chain",
      expected: "a PCK certificate under a root of the policy, by the root's key",
      take: takeChain,
    },
    {
      check: "document.qe-report",
      expected:
        "the attestation key is one of a quoting enclave that the PCK vouches for",
      take: takeQeReport,
    },
    {
      check: "document.collateral",
      expected: "Intel's word on this machine, signed, for now",
      take: takeCollateral,
    },
    {
      check: "document.revocation",
      expected: "no certificate that was taken back",
      take: takeRevocation,
    },
    {
      check: "document.qe-identity",
      expected: "a quoting enclave of Intel's",
      take: takeQeIdentity,
    },
    {
      check: "document.tcb",
      expected: "firmware in a state that the policy accepts",
      take: takeTcb,
    },
  ],
};
