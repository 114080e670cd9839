/**
 * The document that AWS's Nitro hardware signs, strictly (docs/protocol.md 8.3).
 *
 * Enclaves (aws-nitro.js) and the TPMs of instances (aws-nitrotpm.js) have one envelope
 * and one chain: a COSE_Sign1 (cose.js) by the leaf of a chain (chain.js) over a CBOR map:
 *
 *     module_id    text, not empty    i-<17 hex>-enc<16 hex>
 *     digest       text               "SHA384"
 *     timestamp    1..                milliseconds since 1970, UTC
 *     pcrs         map, 1..32         0..31: 32, 48 or 64 bytes, all of one length
 *     certificate  1..1024 bytes      DER, the leaf
 *     cabundle     array, 1..         1..1024 bytes each: DER, the root first
 *     public_key   0..1024 bytes      any that the enclave chose; or null, or absent
 *     user_data    0..1024 bytes      likewise; empty is not the same as absent
 *     nonce        0..1024 bytes      likewise
 *
 * The registers of a TPM are in `nitrotpm_pcrs` instead, of which there are 24; a document
 * with both is refused, and so is one of the other platform. Null counts as absent for the
 * last three alone. Members that are not in this table are noted and else ignored, since
 * AWS may add some.
 */

import { copyBytes, encodeHex, shown } from "../encoding.js";
import { MalformedError } from "../errors.js";
import * as limits from "../limits.js";
import { decode } from "./cbor.js";
import { keyOf } from "./certificates.js";
import * as chain from "./chain.js";
import * as cose from "./cose.js";
import { Document } from "./platform.js";

/** @import { Bytes } from "../encoding.js" */
/** @import { Value, ValueMap } from "./cbor.js" */
/** @import { VerifiedLeaf } from "./certificates.js" */
/** @import { Chain } from "./chain.js" */
/** @import { Step, Trust } from "./platform.js" */

/**
 * What the payload says, without the certificates.
 * @typedef {object} Claims
 * @property {string} moduleId
 * @property {number} time
 * @property {Map<string, string>} registers
 * @property {Bytes | null} publicKey
 * @property {Bytes | null} userData
 * @property {Bytes | null} nonce
 * @property {string[]} unknown
 */

/**
 * What documents of one of the platforms are like, and what their registers say.
 * @typedef {object} Kind
 * @property {string} name
 * @property {"pcrs" | "nitrotpm_pcrs"} member which holds the registers
 * @property {number} registers how many there are, numbered from 0
 * @property {readonly string[]} required AWS lets any be absent. Without these nothing
 *   could be matched, nor told whether anything was measured
 * @property {(registers: Map<string, string>) => string} debug why registers mean that
 *   nothing was measured; empty if they do not
 * @property {(claims: Claims) => Promise<string[]>} notes what is unusual about claims of
 *   this platform
 */

/**
 * The AWS Nitro Enclaves root G1, of both platforms. SHA-256 of its DER:
 *
 *     641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b
 */
export const ROOT = `
-----BEGIN CERTIFICATE-----
MIICETCCAZagAwIBAgIRAPkxdWgbkK/hHUbMtOTn+FYwCgYIKoZIzj0EAwMwSTEL
MAkGA1UEBhMCVVMxDzANBgNVBAoMBkFtYXpvbjEMMAoGA1UECwwDQVdTMRswGQYD
VQQDDBJhd3Mubml0cm8tZW5jbGF2ZXMwHhcNMTkxMDI4MTMyODA1WhcNNDkxMDI4
MTQyODA1WjBJMQswCQYDVQQGEwJVUzEPMA0GA1UECgwGQW1hem9uMQwwCgYDVQQL
DANBV1MxGzAZBgNVBAMMEmF3cy5uaXRyby1lbmNsYXZlczB2MBAGByqGSM49AgEG
BSuBBAAiA2IABPwCVOumCMHzaHDimtqQvkY4MpJzbolL//Zy2YlES1BR5TSksfbb
48C8WBoyt7F2Bw7eEtaaP+ohG2bnUs990d0JX28TcPQXCEPZ3BABIeTPYwEoCWZE
h8l5YoQwTcU/9KNCMEAwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUkCW1DdkF
R+eWw5b6cp3PmanfS5YwDgYDVR0PAQH/BAQDAgGGMAoGCCqGSM49BAMDA2kAMGYC
MQCjfy+Rocm9Xue4YnwWmNJVA44fA0P5W2OpYow9OYCVRaEevL8uO1XYru5xtMPW
rfMCMQCi85sWBbJwKKXdS6BptQFuZbT73o/gBh1qUxl/nNr12UO8Yfwr6wPLb+6N
IwLz3/Y=
-----END CERTIFICATE-----
`;

const ALGORITHMS = new Map([
  [32, "sha256"],
  [48, "sha384"],
  [64, "sha512"],
]);
const MEMBERS = ["pcrs", "nitrotpm_pcrs"];
const FIELDS = new Set([
  "module_id",
  "digest",
  "timestamp",
  "certificate",
  "cabundle",
  "public_key",
  "user_data",
  "nonce",
]);
/** Bytes of a certificate or free field. */
const FIELD = 1024;
/** In milliseconds; no calendar that we write times in goes further. */
const YEAR_10000 = 253_402_300_800_000n;

/** A document of the right form. Nothing it says is known to be true. */
export class Unverified {
  #sign1;
  #chain;

  /**
   * @param {Kind} kind
   * @param {Claims} claims
   * @param {cose.Sign1} sign1
   * @param {Chain} found
   */
  constructor(kind, claims, sign1, found) {
    this.kind = kind;
    this.claims = claims;
    this.#sign1 = sign1;
    this.#chain = found;
  }

  /**
   * The same, signed by the key in its own certificate.
   * @throws {VerificationError} it is not
   */
  async verifySignature() {
    await cose.verify(this.#sign1, keyOf(this.#chain.leaf));
    return new Signed(this.kind, this.claims, this.#chain);
  }
}

/** A document whose signature fits the certificate that came with it. */
class Signed {
  #kind;
  #claims;
  #chain;

  /**
   * @param {Kind} kind
   * @param {Claims} claims
   * @param {Chain} found
   */
  constructor(kind, claims, found) {
    this.#kind = kind;
    this.#claims = claims;
    this.#chain = found;
  }

  /**
   * The document, if its certificate descends from one of `roots`.
   * @param {readonly Bytes[]} roots DER
   * @returns {Promise<Document>}
   * @throws {VerificationError} it does not, or did not when the document was signed
   * @throws {UsageError} the root it descends from is not a usable certificate
   */
  async verifyChain(roots) {
    const kind = this.#kind;
    const { unknown, ...claims } = this.#claims;
    const leaf = await chain.verify(this.#chain, roots, Math.floor(claims.time / 1000));
    return new Document({
      platform: kind.name,
      ...claims,
      debug: kind.debug(claims.registers),
      leafNotBefore: leaf.notBefore,
      leafNotAfter: leaf.notAfter,
      rootSha256: leaf.rootSha256,
      notes: [...notes(this.#claims, leaf), ...(await kind.notes(this.#claims))],
    });
  }
}

/**
 * A document of the form above; nothing of it is verified.
 * @param {Bytes} given
 * @param {Kind} kind
 * @returns {Promise<Unverified>}
 * @throws {MalformedError} it is not, or longer than a document may be
 */
export async function parse(given, kind) {
  if (given.length > limits.ATTESTATION) {
    throw new MalformedError(
      `attestation document: expected at most ${limits.ATTESTATION} bytes, found ${given.length}`,
    );
  }
  const sign1 = cose.parse(copyBytes(given));
  const payload = decode(sign1.payload);
  if (!(payload instanceof Map)) throw malformed(payload, "payload", "a map");
  if (payload.get("digest") !== "SHA384") {
    throw malformed(payload.get("digest"), "digest", '"SHA384"');
  }
  const fields = [...payload.keys()].map(String);
  const claims = {
    moduleId: readModuleId(payload),
    time: readTimestamp(payload),
    registers: readRegisters(payload, kind),
    publicKey: readOptional(payload, "public_key"),
    userData: readOptional(payload, "user_data"),
    nonce: readOptional(payload, "nonce"),
    unknown: fields.filter((name) => !FIELDS.has(name) && name !== kind.member),
  };
  return new Unverified(kind, claims, sign1, await readChain(payload));
}

/** @type {readonly Step[]} */
export const STEPS = [
  {
    check: "document.signature",
    expected: "signed (ES384) by the key of its certificate",
    take: takeSignature,
  },
  {
    check: "document.chain",
    expected: "a certificate chain to a root of the policy",
    take: takeChain,
  },
];

/**
 * @param {Unverified} stage
 * @returns {Promise<readonly [Signed, string]>}
 */
async function takeSignature(stage) {
  return [await stage.verifySignature(), "verifies"];
}

/**
 * @param {Signed} stage
 * @param {Trust} trust
 * @returns {Promise<readonly [Document, string]>}
 */
async function takeChain(stage, { roots }) {
  const document = await stage.verifyChain(roots);
  return [document, `root ${document.rootSha256.slice(0, 16)}…`];
}

/** @param {ValueMap} payload */
function readModuleId(payload) {
  const value = payload.get("module_id");
  if (typeof value !== "string" || value === "") {
    throw malformed(value, "module_id", "text, not empty");
  }
  return value;
}

/** @param {ValueMap} payload */
function readTimestamp(payload) {
  const value = payload.get("timestamp");
  if (typeof value !== "bigint" || value <= 0n || value >= YEAR_10000) {
    throw malformed(value, "timestamp", "milliseconds from 1970 to 9999");
  }
  return Number(value);
}

/**
 * The registers by number.
 * @param {ValueMap} payload
 * @param {Kind} kind
 * @returns {Map<string, string>}
 */
function readRegisters(payload, kind) {
  const { member } = kind;
  const other = MEMBERS.find((one) => one !== member && payload.has(one));
  if (other !== undefined) {
    throw malformed(payload.get(other), other, `${member}, of ${kind.name}`);
  }
  const pcrs = payload.get(member);
  if (!(pcrs instanceof Map) || pcrs.size === 0 || pcrs.size > kind.registers) {
    throw malformed(pcrs, member, `a map of 1..${kind.registers} registers`);
  }
  /** @type {[number, string][]} */
  const digests = [];
  const algorithms = new Set();
  for (const [number, digest] of pcrs) {
    if (typeof number !== "bigint" || number < 0n || number >= kind.registers) {
      throw malformed(number, member, `numbers 0..${kind.registers - 1}`);
    }
    const algorithm = digest instanceof Uint8Array && ALGORITHMS.get(digest.length);
    if (!algorithm) {
      throw malformed(digest, `${member}[${number}]`, "32, 48 or 64 bytes");
    }
    algorithms.add(algorithm);
    digests.push([Number(number), `${algorithm}:${encodeHex(digest)}`]);
  }
  if (algorithms.size > 1) throw malformed(pcrs, member, "registers of one length");
  digests.sort(([one], [next]) => one - next);
  const registers = new Map(
    digests.map(([number, digest]) => [`PCR${number}`, digest]),
  );
  if (!kind.required.every((name) => registers.has(name))) {
    throw malformed(pcrs, member, `${kind.required.join(", ")} among the registers`);
  }
  return registers;
}

/**
 * @param {ValueMap} payload
 * @param {string} field
 */
function readOptional(payload, field) {
  const value = payload.get(field) ?? null;
  return value === null ? null : readBytes(field, value, 0);
}

/**
 * @param {ValueMap} payload
 * @returns {Promise<Chain>}
 */
async function readChain(payload) {
  const bundle = payload.get("cabundle");
  if (!Array.isArray(bundle) || bundle.length === 0) {
    throw malformed(bundle, "cabundle", "an array of certificates");
  }
  const cabundle = bundle.map((der, place) => readBytes(`cabundle[${place}]`, der, 1));
  return chain.load(cabundle, readBytes("certificate", payload.get("certificate"), 1));
}

/**
 * @param {string} field
 * @param {Value | undefined} value
 * @param {number} smallest
 * @returns {Bytes}
 */
function readBytes(field, value, smallest) {
  const size = value instanceof Uint8Array ? value.length : -1;
  if (!(value instanceof Uint8Array) || size < smallest || size > FIELD) {
    throw malformed(value, field, `${smallest}..${FIELD} bytes`);
  }
  return value;
}

/**
 * @param {Value | undefined} found
 * @param {string} field
 * @param {string} expected
 */
function malformed(found, field, expected) {
  let what;
  if (found === null || found === undefined) what = "nothing";
  else if (found instanceof Uint8Array) what = `${found.length} bytes`;
  else if (Array.isArray(found)) what = `an array of ${found.length}`;
  else if (found instanceof Map) what = `a map of ${found.size}`;
  else what = shown(String(found));
  return new MalformedError(
    `attestation document, ${field}: expected ${expected}, found ${what}`,
  );
}

/**
 * What holds in every genuine document seen, but is promised nowhere.
 * @param {Claims} claims
 * @param {VerifiedLeaf} leaf
 * @returns {string[]}
 */
function notes(claims, leaf) {
  const found = claims.unknown.map(
    (field) => `the document has a field unknown to pcrlog: ${shown(field)}`,
  );
  if (!leaf.commonName.startsWith(`${claims.moduleId}.`)) {
    found.push(
      `its certificate is for ${shown(leaf.commonName)}, not for its module_id`,
    );
  }
  return found;
}
