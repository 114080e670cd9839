/**
 * Public keys of identities, and the two signature algorithms.
 *
 * A key is a DER SubjectPublicKeyInfo; its keyid is the lower-case hex SHA-256 of it.
 * Ed25519 signs the message itself; ECDSA is on P-256 with SHA-256, its signature DER. An
 * Ed25519 point of small order or in a second encoding is refused (docs/protocol.md 2.1).
 * So is an ECDSA point that is not in the uncompressed form. Of a key of another
 * algorithm only the frame is read, so that all readers tell the same keys from malformed
 * ones.
 */

import * as limits from "./limits.js";
import {
  copyBytes,
  decodeHex,
  encodeHex,
  equalBytes,
  joinBytes,
  sha256,
} from "./encoding.js";
import { MalformedError, UncheckedError, VerificationError } from "./errors.js";
import { checkPoint } from "./points.js";

/** @import { Bytes } from "./encoding.js" */

export const ED25519 = "ed25519";
export const ECDSA_P256 = "ecdsa-p256";

const ED25519_OID = decodeHex("06032b6570");
const P256_ALGORITHM = decodeHex("06072a8648ce3d020106082a8648ce3d030107");
const ED25519_SIZE = 32;
const P256_SIZE = 65;
const UNCOMPRESSED = 0x04;
const SEQUENCE = 0x30;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OID = 0x06;
/** Lengths from here on are spelt in more than one byte. */
const LONG = 0x80;
/** Bytes of each of the two numbers of a signature on P-256. */
const SCALAR = 32;

const P256 = { name: "ECDSA", namedCurve: "P-256" };

/**
 * The keyid of a DER SubjectPublicKeyInfo.
 * @param {Bytes} spki
 */
export async function keyidOf(spki) {
  return encodeHex(await sha256(spki));
}

/** A usable public key: `keyid`, `algorithm`, DER `spki`. */
export class PublicKey {
  #verify;

  /**
   * @param {string} keyid
   * @param {typeof ED25519 | typeof ECDSA_P256} algorithm
   * @param {Bytes} spki
   * @param {(signature: Bytes, message: Bytes) => Promise<boolean>} verify
   */
  constructor(keyid, algorithm, spki, verify) {
    this.keyid = keyid;
    this.algorithm = algorithm;
    this.spki = spki;
    this.#verify = verify;
  }

  /**
   * Load a DER SubjectPublicKeyInfo.
   * @param {Bytes} given
   * @throws {MalformedError} not DER, not its one encoding, or an unsafe point
   * @throws {UncheckedError} an algorithm that this version does not know
   */
  static async fromSpki(given) {
    if (given.length > limits.SPKI) {
      throw new MalformedError(
        `public key has ${given.length} bytes, at most ${limits.SPKI}`,
      );
    }
    const spki = copyBytes(given);
    const { algorithm, point } = split(spki);
    const keyid = await keyidOf(spki);
    if (startsWith(algorithm, ED25519_OID)) {
      if (algorithm.length !== ED25519_OID.length || point.length !== ED25519_SIZE) {
        throw new MalformedError("public key: not an Ed25519 key in its one DER form");
      }
      checkPoint(point);
      return new PublicKey(keyid, ED25519, spki, (signature, message) =>
        verifyEd25519(point, signature, message),
      );
    }
    if (startsWith(algorithm, P256_ALGORITHM)) {
      if (algorithm.length !== P256_ALGORITHM.length) {
        throw new MalformedError("public key: not a P-256 key in its one DER form");
      }
      const key = await importP256(point);
      return new PublicKey(keyid, ECDSA_P256, spki, (signature, message) =>
        verifyP256(key, signature, message),
      );
    }
    throw new UncheckedError(
      "unknown key algorithm: expected Ed25519 or ECDSA P-256; upgrade pcrlog?",
    );
  }

  /**
   * Check a signature over `message`.
   * @param {Bytes} signature
   * @param {Bytes} message
   * @returns {Promise<void>}
   * @throws {VerificationError} it does not verify
   * @throws {UncheckedError} this browser has no Ed25519
   */
  async verify(signature, message) {
    if (!(await this.#verify(signature, message))) {
      throw new VerificationError(`signature by key ${this.keyid} does not verify`);
    }
  }
}

/**
 * Whether `signature` is by the Ed25519 key of 32 bytes, which `checkPoint` has passed.
 * @param {Bytes} point
 * @param {Bytes} signature
 * @param {Bytes} message
 * @returns {Promise<boolean>}
 * @throws {UncheckedError} this browser has no Ed25519
 */
export async function verifyEd25519(point, signature, message) {
  try {
    const key = await crypto.subtle.importKey("raw", point, "Ed25519", false, [
      "verify",
    ]);
    return await crypto.subtle.verify("Ed25519", key, signature, message);
  } catch (error) {
    if (nameOf(error) === "NotSupportedError") {
      throw new UncheckedError(
        "this browser does not know Ed25519 (WebCrypto): take a newer one",
      );
    }
    // Some engines refuse at once a y to which no point belongs: nothing verifies
    // under it.
    if (nameOf(error) === "DataError") return false;
    throw error;
  }
}

/**
 * @param {Bytes} point
 * @returns {Promise<CryptoKey>}
 */
async function importP256(point) {
  if (point.length !== P256_SIZE || point[0] !== UNCOMPRESSED) {
    throw new MalformedError(
      "public key: not a P-256 key in its one DER form (compressed point?)",
    );
  }
  try {
    return await crypto.subtle.importKey("raw", point, P256, false, ["verify"]);
  } catch (error) {
    if (nameOf(error) !== "DataError") throw error;
    throw new MalformedError("public key: not a point of P-256");
  }
}

/**
 * @param {CryptoKey} key
 * @param {Bytes} signature
 * @param {Bytes} message
 * @returns {Promise<boolean>}
 */
async function verifyP256(key, signature, message) {
  const numbers = splitSignature(signature);
  if (numbers === undefined) return false;
  return crypto.subtle.verify(
    { name: "ECDSA", hash: "SHA-256" },
    key,
    numbers,
    message,
  );
}

/**
 * The two numbers of a DER signature, 32 bytes each, as WebCrypto wants them; undefined
 * where it is not in its one DER form.
 * @param {Bytes} signature
 * @returns {Bytes | undefined}
 */
function splitSignature(signature) {
  try {
    const whole = element(signature, 0, SEQUENCE);
    const r = element(whole.content, 0, INTEGER);
    const s = element(whole.content, r.end, INTEGER);
    if (whole.end !== signature.length || s.end !== whole.content.length)
      return undefined;
    return joinBytes(scalar(r.content), scalar(s.content));
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}

/**
 * 32 bytes of an INTEGER that is positive and has no byte too many.
 * @param {Bytes} content
 * @returns {Bytes}
 */
function scalar(content) {
  const [first, second] = content;
  const negative = first >= LONG;
  const padded = first === 0 && !(second >= LONG);
  const digits = first === 0 ? content.subarray(1) : content;
  if (content.length === 0 || negative || padded || digits.length > SCALAR) {
    throw new MalformedError("signature: a number is not in its one DER form");
  }
  return joinBytes(new Uint8Array(SCALAR - digits.length), digits);
}

const FRAME =
  "public key is not a DER SubjectPublicKeyInfo: a SEQUENCE of an AlgorithmIdentifier" +
  " and a BIT STRING without unused bits, and nothing after it";

/**
 * The content of the AlgorithmIdentifier, and the bits of the key.
 * @param {Bytes} spki
 */
function split(spki) {
  const whole = element(spki, 0, SEQUENCE);
  const algorithm = element(whole.content, 0, SEQUENCE);
  element(algorithm.content, 0, OID);
  const bits = element(whole.content, algorithm.end, BIT_STRING);
  const all = whole.end === spki.length && bits.end === whole.content.length;
  if (!all || bits.content[0] !== 0) throw new MalformedError(FRAME);
  return { algorithm: algorithm.content, point: bits.content.slice(1) };
}

/**
 * The content of the DER element at `at`, which has this tag, and where it ends.
 * @param {Bytes} data
 * @param {number} at
 * @param {number} tag
 * @returns {{ content: Bytes, end: number }}
 */
function element(data, at, tag) {
  const [found, size, high, low] = data.subarray(at, at + 4);
  let head = NaN;
  let length = NaN;
  if (size < LONG) {
    [head, length] = [2, size];
  } else if (size === 0x81 && high >= LONG) {
    [head, length] = [3, high];
  } else if (size === 0x82 && high > 0) {
    [head, length] = [4, high * 256 + low];
  }
  const end = at + head + length;
  // A length that is cut off, or in another spelling, is not a number here.
  if (found !== tag || !(end <= data.length)) throw new MalformedError(FRAME);
  return { content: data.subarray(at + head, end), end };
}

/**
 * @param {Bytes} data
 * @param {Bytes} start
 */
function startsWith(data, start) {
  return equalBytes(data.subarray(0, start.length), start);
}

/** @param {unknown} error */
function nameOf(error) {
  return error instanceof Error ? error.name : "";
}
