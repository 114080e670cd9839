/**
 * AWS Nitro Enclaves, platform `aws-nitro`: the document, strictly (docs/protocol.md 8.3).
 *
 * A COSE_Sign1 (cose.js) by the leaf of a chain (chain.js) over one CBOR map:
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
 * Null counts as absent for the last three alone. Members that are not in this table are
 * noted and else ignored, since AWS may add some. `nitrotpm_pcrs` means NitroTPM, which
 * is another platform, and refused here.
 *
 * A debug enclave is one whose PCR0, PCR1 and PCR2 are zero. "All registers are zero" is
 * not the test: PCR4, the machine's, never is.
 */

import { copyBytes, encodeHex, encodeText, joinBytes, shown } from "../encoding.js";
import { MalformedError } from "../errors.js";
import * as limits from "../limits.js";
import { decode } from "./cbor.js";
import * as chain from "./chain.js";
import * as cose from "./cose.js";

/** @import { Bytes } from "../encoding.js" */
/** @import { Document } from "../attestation.js" */
/** @import { Value, ValueMap } from "./cbor.js" */
/** @import { Chain, VerifiedLeaf } from "./chain.js" */

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

export const NAME = "aws-nitro";

const IMAGE = ["PCR0", "PCR1", "PCR2"];
const ALGORITHMS = new Map([
  [32, "sha256"],
  [48, "sha384"],
  [64, "sha512"],
]);
const FIELDS = new Set([
  "module_id",
  "digest",
  "timestamp",
  "pcrs",
  "certificate",
  "cabundle",
  "public_key",
  "user_data",
  "nonce",
]);
/** Bytes of a certificate or free field. */
const FIELD = 1024;
const REGISTERS = 32;
/** In milliseconds; no calendar that we write times in goes further. */
const YEAR_10000 = 253_402_300_800_000n;

/** A document of the right form. Nothing it says is known to be true. */
class UnverifiedDocument {
  #sign1;
  #claims;
  #chain;

  /**
   * @param {cose.Sign1} sign1
   * @param {Claims} claims
   * @param {Chain} found
   */
  constructor(sign1, claims, found) {
    this.#sign1 = sign1;
    this.#claims = claims;
    this.#chain = found;
  }

  /**
   * The same, signed by the key in its own certificate.
   * @throws {VerificationError} it is not
   */
  async verifySignature() {
    await cose.verify(this.#sign1, chain.keyOf(this.#chain.leaf));
    return new SignedDocument(this.#claims, this.#chain);
  }
}

/** A document whose signature fits the certificate that came with it. */
class SignedDocument {
  #claims;
  #chain;

  /**
   * @param {Claims} claims
   * @param {Chain} found
   */
  constructor(claims, found) {
    this.#claims = claims;
    this.#chain = found;
  }

  /**
   * The document, if its certificate descends from one of `roots`.
   * @param {Bytes[]} roots DER
   * @returns {Promise<Document>}
   * @throws {VerificationError} it does not, or did not when the document was signed
   * @throws {UsageError} the root it descends from is not a usable certificate
   */
  async verifyChain(roots) {
    const { unknown, ...claims } = this.#claims;
    const leaf = await chain.verify(this.#chain, roots, Math.floor(claims.time / 1000));
    return {
      platform: NAME,
      ...claims,
      debug: isDebug(claims.registers),
      leafNotBefore: leaf.notBefore,
      leafNotAfter: leaf.notAfter,
      rootSha256: leaf.rootSha256,
      notes: await notes(this.#claims, leaf),
    };
  }
}

/**
 * A document of the form above; nothing of it is verified.
 * @param {Bytes} given
 * @returns {Promise<UnverifiedDocument>}
 * @throws {MalformedError} it is not, or longer than a document may be
 */
export async function parse(given) {
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
  const claims = {
    moduleId: readModuleId(payload),
    time: readTimestamp(payload),
    registers: readRegisters(payload),
    publicKey: readOptional(payload, "public_key"),
    userData: readOptional(payload, "user_data"),
    nonce: readOptional(payload, "nonce"),
    unknown: [...payload.keys()].map(String).filter((name) => !FIELDS.has(name)),
  };
  return new UnverifiedDocument(sign1, claims, await readChain(payload));
}

/**
 * Whether PCR0, PCR1 and PCR2, all of them in `registers`, are all zero.
 * @param {Map<string, string>} registers
 */
function isDebug(registers) {
  return IMAGE.every((name) => /:0+$/.test(registers.get(name) ?? ""));
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
 * @returns {Map<string, string>}
 */
function readRegisters(payload) {
  if (payload.has("nitrotpm_pcrs")) {
    throw new MalformedError(
      "a NitroTPM document: platform aws-nitrotpm is not supported yet",
    );
  }
  const pcrs = payload.get("pcrs");
  if (!(pcrs instanceof Map) || pcrs.size === 0 || pcrs.size > REGISTERS) {
    throw malformed(pcrs, "pcrs", `a map of 1..${REGISTERS} registers`);
  }
  /** @type {[number, string][]} */
  const digests = [];
  const algorithms = new Set();
  for (const [number, digest] of pcrs) {
    if (typeof number !== "bigint" || number < 0n || number >= REGISTERS) {
      throw malformed(number, "pcrs", `numbers 0..${REGISTERS - 1}`);
    }
    const algorithm = digest instanceof Uint8Array && ALGORITHMS.get(digest.length);
    if (!algorithm) throw malformed(digest, `pcrs[${number}]`, "32, 48 or 64 bytes");
    algorithms.add(algorithm);
    digests.push([Number(number), `${algorithm}:${encodeHex(digest)}`]);
  }
  if (algorithms.size > 1) throw malformed(pcrs, "pcrs", "registers of one length");
  digests.sort(([one], [other]) => one - other);
  const registers = new Map(
    digests.map(([number, digest]) => [`PCR${number}`, digest]),
  );
  // AWS lets any be absent. Without these three nothing could be matched, and whether
  // it is debug mode could not be told.
  if (!IMAGE.every((name) => registers.has(name))) {
    throw malformed(pcrs, "pcrs", "0, 1 and 2 among the registers");
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
    `${NAME} document, ${field}: expected ${expected}, found ${what}`,
  );
}

/**
 * What holds in every genuine document seen, but is promised nowhere.
 * @param {Claims} claims
 * @param {VerifiedLeaf} leaf
 * @returns {Promise<string[]>}
 */
async function notes(claims, leaf) {
  const found = claims.unknown.map(
    (field) => `the document has a field unknown to pcrlog: ${shown(field)}`,
  );
  if (!leaf.commonName.startsWith(`${claims.moduleId}.`)) {
    found.push(
      `its certificate is for ${shown(leaf.commonName)}, not for its module_id`,
    );
  }
  const [instance] = claims.moduleId.split("-enc", 1);
  const named = joinBytes(new Uint8Array(48), encodeText(instance ?? ""));
  const expected = encodeHex(
    new Uint8Array(await crypto.subtle.digest("SHA-384", named)),
  );
  if (claims.registers.get("PCR4") !== `sha384:${expected}`) {
    found.push("PCR4 is not the hash of the instance that module_id names");
  }
  return found;
}
