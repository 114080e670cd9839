/**
 * Attestation documents: the one small interface behind which platforms sit.
 *
 * attestation/platform.js says what a platform is, and takes the steps in which its
 * documents are verified. Here they are found: by name, and by what a document looks
 * like. Whether its time will do is for the caller to say, as are the other checks:
 * `document.time`, `document.nonce`, `document.debug`, `channel`, and whether these are
 * the registers that were expected.
 */

import * as nitro from "./attestation/aws-nitro.js";
import * as nitrotpm from "./attestation/aws-nitrotpm.js";
import * as sgx from "./attestation/intel-sgx.js";
import { walk } from "./attestation/platform.js";
import { decodeBase64, decodeHex, decodeLatin1, encodeHex, shown } from "./encoding.js";
import {
  MalformedError,
  UncheckedError,
  UsageError,
  VerificationError,
} from "./errors.js";
import * as limits from "./limits.js";
import { PLATFORMS } from "./measurement.js";

export { walk };

/** @import { Outcome, Platform, Trust } from "./attestation/platform.js" */
/** @typedef {import("./attestation/platform.js").Document} Document */
/** @import { Bytes } from "./encoding.js" */

/** @type {readonly Platform[]} */
const KNOWN = [nitro.PLATFORM, nitrotpm.PLATFORM, sgx.PLATFORM];
/** The platforms that have documents. */
export const ATTESTING = Object.freeze(KNOWN.map(({ name }) => name));
/** The longest document in hex, with line ends at every second digit even. */
const TEXT = 3 * limits.ATTESTATION;
const FIRST = [...PLATFORMS.values()].flatMap(({ begins = [] }) => begins);
const FIRST_BYTES = Math.max(...FIRST.map((digits) => digits.length / 2));
const UNKNOWN =
  "expected an attestation document: its bytes, or these in base64 or hex";

/**
 * The platform called `name`.
 * @param {string} name
 * @returns {Platform}
 * @throws {UsageError} there is none of which pcrlog can read documents
 */
export function platform(name) {
  const found = KNOWN.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new UsageError(
    `no attestation documents of platform ${shown(name)}; known: ${ATTESTING.join(", ")}`,
  );
}

/**
 * The document of platform `name` in `data`, and what could not be checked of it.
 * @param {string} name
 * @param {Bytes} data
 * @param {Trust} trust
 * @returns {Promise<readonly [document: Document, unmade: Outcome[]]>}
 * @throws {UsageError} no such platform, or a root of no use
 * @throws {MalformedError} not a document of it
 * @throws {VerificationError} a step fails
 * @throws {UncheckedError} a step could not be made, without which nothing of the document
 *   is authenticated
 */
export async function genuine(name, data, trust) {
  const known = platform(name);
  const { outcomes, document } = await walk(known, await known.parse(data), trust);
  const failed = outcomes.find(({ status }) => status === "fail");
  if (failed !== undefined) {
    throw new VerificationError(`${failed.check}: ${failed.found}`);
  }
  const unmade = outcomes.filter(({ status }) => status === "unchecked");
  if (document !== undefined) return [document, unmade];
  const found = unmade.map((one) => `${one.check}: ${one.found}`);
  throw new UncheckedError(found.join("; "));
}

/**
 * The platform among `names` whose document this is, and its first stage.
 * @param {Bytes} data
 * @param {readonly string[]} [names]
 * @returns {Promise<readonly [platform: Platform, first: unknown]>}
 * @throws {MalformedError} of none of them
 */
export async function recognise(data, names = ATTESTING) {
  const refused = [];
  for (const name of new Set([...names, ...ATTESTING])) {
    const known = platform(name);
    let stage;
    try {
      stage = await known.parse(data);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      if (!names.includes(name)) continue;
      refused.push(names.length > 1 ? `${name}: ${error.message}` : error.message);
      continue;
    }
    if (names.includes(name)) return [known, stage];
    throw new MalformedError(`it is a document of ${name}`);
  }
  throw new MalformedError(refused.join("; ") || UNKNOWN);
}

/**
 * A document as people hand it over: its bytes, or these in base64 or hex.
 *
 * The three cannot be confused: no text begins with the first byte of a document, and
 * what begins like one in hex is, read as base64, no document. Newlines, as `base64` and
 * `xxd -p` write them, are dropped.
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
  return startsInHex(encodeHex(data.subarray(0, FIRST_BYTES)));
}

/** @param {string} digits */
function startsInHex(digits) {
  return FIRST.some((first) => digits.startsWith(first));
}

/** @param {Bytes} raw */
function decodeAsText(raw) {
  if (raw.some((byte) => byte > 0x7f)) throw new MalformedError(UNKNOWN);
  const text = decodeLatin1(raw).replace(/[\r\n]/g, "");
  return startsInHex(text) ? decodeHex(text) : decodeBase64(text);
}
